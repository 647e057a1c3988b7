
×
×


:authority127.0.0.1:36713

:path/form

:methodPOST

:schemehttp

accept-encodingidentity

content-length20
1
content-type!application/x-www-form-urlencoded

x-forwarded-protohttp
4
x-request-id$ef1e0515-92a1-4d80-b100-9ad5c47f3abf
'
x-envoy-expected-rq-timeout-ms15000
a=1+2&b=%C3%A4%26%3D"øç‡Øˆˆ±øÒ

:status200

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT
(
content-typeapplication/octet-stream

content-length20
"
x-envoy-upstream-service-time0
D3%62%4A%3C%=b&2+1=a"øç‡Ø˜¬¿ø&

	127.0.0.1éž
	127.0.0.1’À