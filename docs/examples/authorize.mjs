// An application that is asked where a channel rule says `ask`: node authorize.mjs whsec_… [port]
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = Buffer.from(process.argv[2].replace("whsec_", ""), "base64");

function isSigned(headers, body) {
  const { "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) < 300)) return false;
  const ours = Buffer.from(`v1,${createHmac("sha256", secret).update(`${id}.${time}.${body}`).digest("base64")}`);
  return signatures.split(" ").some((one) => one.length === ours.length && timingSafeEqual(Buffer.from(one), ours));
}

createServer(async (request, response) => {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  if (!isSigned(request.headers, body)) return response.writeHead(401).end();
  const { user, channel, action } = JSON.parse(body);
  // Yours looks into its own database.
  const allow = channel === `order:${user}` && action === "subscribe";
  response.setHeader("content-type", "application/json").end(JSON.stringify({ allow, ttl: 300 }));
}).listen(process.argv[3] ?? 4000, "127.0.0.1");
