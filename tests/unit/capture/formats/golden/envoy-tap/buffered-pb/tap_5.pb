




:authority127.0.0.1:36713

:path/upload

:methodPUT

:schemehttp

accept-encodingidentity

x-forwarded-protohttp
4
x-request-id$4d77452a-99f2-4723-a12e-d6e334b3cdba
'
x-envoy-expected-rq-timeout-ms15000
firstsecond
"ψη‡Ψ ϊψΛ

:status200

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT
(
content-typeapplication/octet-stream

content-length13
"
x-envoy-upstream-service-time0

dnocestsrif"ψη‡Ψθιƒω&

	127.0.0.1ι
	127.0.0.1’ΐ