"""What providers are paid for: prices, the ledger of what was used, and reports of it."""
