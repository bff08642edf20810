# Does Standard Webhooks' own Python library believe this request? Reads {secret, headers, body} as JSON; fails if not.
import json, sys
from standardwebhooks import Webhook

request = json.load(sys.stdin)
Webhook(request["secret"]).verify(request["body"], request["headers"])
