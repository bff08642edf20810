import base64, hashlib, hmac, json, os, time
part = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
claims = {"sub": "anna", "tenant": "studio-nova", "channels": ["contact:*"], "exp": int(time.time()) + 3600}
signed = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps(claims).encode())
print(signed + "." + part(hmac.new(os.environ["CARILLON_JWT_SECRET"].encode(), signed.encode(), hashlib.sha256).digest()))
