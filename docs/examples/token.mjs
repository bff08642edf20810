import { createHmac } from "node:crypto";
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const claims = { sub: "anna", tenant: "studio-nova", channels: ["contact:*"], exp: Math.floor(Date.now() / 1000) + 3600 };
const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
console.log(`${signed}.${createHmac("sha256", process.env.CARILLON_JWT_SECRET).update(signed).digest("base64url")}`);
