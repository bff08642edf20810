// Receives webhooks: node webhook.mjs whsec_… [port]
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.argv[2].replace("whsec_", ""), "base64");
createServer(async (request, response) => {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures = "" } = request.headers;
  const ours = Buffer.from(`v1,${createHmac("sha256", key).update(`${id}.${time}.${body}`).digest("base64")}`);
  const isSigned = signatures.split(" ").some((one) => one.length === ours.length && timingSafeEqual(Buffer.from(one), ours));
  if (!isSigned || !(Math.abs(Date.now() / 1000 - time) < 300)) return response.writeHead(401).end();
  const event = JSON.parse(body);
  console.log(event.sequence ?? "-", event.type, JSON.stringify(event.data)); // Yours does its work, once for each webhook-id.
  response.writeHead(204).end();
}).listen(process.argv[3] ?? 4001, "127.0.0.1");
