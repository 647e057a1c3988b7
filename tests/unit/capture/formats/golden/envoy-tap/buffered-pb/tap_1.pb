
í
Ã


:authority127.0.0.1:36713

:path/login

:methodPOST

:schemehttp

accept-encodingidentity

content-length16
 
content-typeapplication/json

x-forwarded-protohttp
4
x-request-id$83796aca-faf7-4c1b-ac7a-68437010c652
'
x-envoy-expected-rq-timeout-ms15000
{"name":"Ã¤nne"}"øç‡Ø€ü­öü

:status200

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT


set-cookiesid=1; Path=/


set-cookie
theme=dark
 
content-typeapplication/json

content-length15
"
x-envoy-upstream-service-time0
{"token": "t1"}"øç‡Ø¨ýÄö&

	127.0.0.1éž
	127.0.0.1’À