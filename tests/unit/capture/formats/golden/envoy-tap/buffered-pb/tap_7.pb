
ß
ô


:authority127.0.0.1:36713

:path/old

:methodGET

:schemehttp

accept-encodingidentity

x-forwarded-protohttp
4
x-request-id$f38569e3-f8d3-4eee-b5fc-59594691d000
'
x-envoy-expected-rq-timeout-ms15000"øç‡Ø°Â²ù½

:status302

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT

location/new

content-type
text/plain

content-length0
"
x-envoy-upstream-service-time0"øç‡ØÐÉºù&

	127.0.0.1éž
	127.0.0.1’À