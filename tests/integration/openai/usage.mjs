// What a program of JavaScript does with OpenAI's own client: node usage.mjs BASE_URL TOKEN QUESTION
import OpenAI from "openai";

const [baseURL, apiKey, question] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const asked = { model: "pgknowbase", messages };

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const whole = await client.chat.completions.create(asked);
const { content, annotations } = whole.choices[0].message;

let streamed = "", usage = null, citations = [];
const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta.content ?? "";
  citations = chunk.choices[0]?.delta.annotations ?? citations;
  usage = chunk.usage ?? usage;
}

const vectors = await client.embeddings.create({ model: "default", input: ["near 0.5", "near 1.0"] });

const refused = [];
for (const wrong of [{ ...asked, model: "nothing" }, { ...asked, temperature: 9 }]) {
  try {
    await client.chat.completions.create(wrong);
  } catch (error) {
    refused.push([error.constructor.name, error.status, error.code, error.param]);
  }
}
try {
  await new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  refused.push([error.constructor.name, error.status, error.code]);
}

// One that leaves in the middle.
const left = await client.chat.completions.create({ ...asked, stream: true });
for await (const chunk of left) break;

const cited = annotations.map(({ url_citation: each }) => [content.slice(each.start_index, each.end_index), each.url]);
const lengths = vectors.data.map((each) => each.embedding.length);
console.log(JSON.stringify({
  models, content, cited, streamed, same: citations.length === annotations.length,
  tokens: [whole.usage.total_tokens, usage.total_tokens], lengths, first: vectors.data[0].embedding[0], refused,
}));
