-- First look at a request: what its carriers claim, and the token to where jwt_authn verifies it.

local FAULTS = {
  "x-envoy-fault-abort-request", "x-envoy-fault-abort-request-percentage", "x-envoy-fault-abort-grpc-request",
  "x-envoy-fault-delay-request", "x-envoy-fault-delay-request-percentage",
  "x-envoy-fault-throughput-response", "x-envoy-fault-throughput-response-percentage",
}

local function is_trusted(handle)
  if not EDGE then return true end
  local found = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.rbac")
  return found ~= nil and found["tracer_bullet_shadow_engine_result"] == "allowed"
end

-- base64url has several spellings of the same bytes; one token has one spelling.
local function is_canonical(part)
  if part:find("[^%w_%-]") then return false end
  local rest = #part % 4
  if rest == 0 then return true end
  return (rest == 2 and part:find("[AQgw]$") ~= nil) or (rest == 3 and part:find("[AEIMQUYcgkosw048]$") ~= nil)
end

local function is_token(text)
  if #text > 4096 then return false end
  local head, payload, signature, more = text:match("^([^.]*)%.([^.]*)%.([^.]*)(.*)$")
  return more == "" and head ~= "" and is_canonical(head) and is_canonical(payload) and is_canonical(signature)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(PROOF) then headers:remove(PROOF) end
  local trusted = is_trusted(handle)
  if not trusted then
    for _, name in ipairs(FAULTS) do
      if headers:get(name) then headers:remove(name) end
    end
  end
  if not may_claim(headers) then return end
  begin(handle)
  local claim = read_claim(headers)
  if not claim then
    note(handle, "claim", "no")
    handle:clearRouteCache()
    return
  end
  note(handle, "bullet", "yes")
  note(handle, "trusted", trusted)
  if claim.run then note(handle, "run", claim.run) end
  if claim.ambiguous then
    note(handle, "found", "ambiguous")
    note(handle, "tokens", claim.tokens)
  elseif not claim.token then
    note(handle, "found", claim.only_tracestate and "flag-lost" or "no-token")
  elseif not is_token(claim.token) then
    note(handle, "found", "malformed")
  else
    note(handle, "found", "token")
    headers:add(PROOF, claim.token)
  end
end
