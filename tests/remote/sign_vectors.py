#!/usr/bin/env python3
"""Works out the signatures in s3_sign_test.c with nothing but hashlib and hmac, and fails if one differs.
usage: sign_vectors.py s3_sign_test.c"""
import hashlib
import hmac
import re
import sys

SECRETS = dict(re.findall(r'struct s3_credentials (\w+) = .*?\.secret = "([^"]+)"', open(sys.argv[1]).read(), re.S))
EMPTY = hashlib.sha256(b"").hexdigest()


def sign(secret, method, path, query, payload, date, region, service, headers):
    lines = "".join("%s:%s\n" % h for h in headers)
    names = ";".join(h[0] for h in headers)
    request = "\n".join([method, path, query, lines, names, payload])
    scope = "/".join([date[:8], region, service, "aws4_request"])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


source = open(sys.argv[1]).read().replace('", EMPTY}', '", "%s"}' % EMPTY).replace("= EMPTY", '= "%s"' % EMPTY)
table = source[source.index("vectors[] = {"):]
count = 0
for credentials, body, signature in re.findall(r'&(\w+),\s*\{\.method(.*?)\},\s*"[^"]+",\s*"([0-9a-f]{64})"', table, re.S):
    field = lambda name: re.search(r'\.?%s = "([^"]*)"' % name, "method" + body).group(1)
    headers = re.findall(r'\{"([a-z0-9-]+)",\s*"([^"]*)"\}', body)
    got = sign(SECRETS[credentials], *[field(n) for n in ("method", "path", "query", "payload", "date", "region", "service")], headers)
    if got != signature:
        sys.exit("%s %s: %s instead of %s" % (field("method"), field("path"), got, signature))
    count += 1
if count != 5:
    sys.exit("%d vectors found, not 5" % count)
print("%d signatures agree" % count)
