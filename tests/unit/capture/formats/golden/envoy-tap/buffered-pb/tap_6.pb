
ρ
χ


:authority127.0.0.1:36713

:path/items

:methodHEAD

:schemehttp

accept-encodingidentity

x-forwarded-protohttp
4
x-request-id$78b114f8-c082-40f8-a9d7-8bc36e5a00ff
'
x-envoy-expected-rq-timeout-ms15000"ψη‡ΨπΪ•ωΜ

:status200

serverenvoy
%
dateSat, 21 Nov 2026 19:41:44 GMT

content-encodinggzip
 
content-typeapplication/json

content-length47
"
x-envoy-upstream-service-time0"ψη‡Ψθ΅ω&

	127.0.0.1ι
	127.0.0.1’ΐ