
Ÿ
ø


:authority127.0.0.1:36713

:path/none

:methodDELETE

:schemehttp

accept-encodingidentity

x-forwarded-protohttp
4
x-request-id$803bf957-daf6-471d-9b2f-de1b5c7f6cd5
'
x-envoy-expected-rq-timeout-ms15000"øç‡ØÀ™­úz

:status204

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT
"
x-envoy-upstream-service-time3"øç‡Ø¸þ¢ü&

	127.0.0.1éž
	127.0.0.1’À