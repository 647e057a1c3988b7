
«
÷


:authority127.0.0.1:36713

:path/chunks

:methodGET

:schemehttp

accept-encodingidentity

x-forwarded-protohttp
4
x-request-id$6d449489-c6a4-4858-bbb6-f3a4f0ab517d
'
x-envoy-expected-rq-timeout-ms15000"øç‡ØØ®Çü†

:status200

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT
"
x-envoy-upstream-service-time0

abcdefgh"øç‡ØÀ‰Öü&

	127.0.0.1éž
	127.0.0.1’À