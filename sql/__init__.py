"""Every SQL object that pgknowbase has, one file each, in folders numbered as a row meets them."""
