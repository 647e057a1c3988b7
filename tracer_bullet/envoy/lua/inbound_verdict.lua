-- Second look, behind jwt_authn: what becomes of a request that claims to be a bullet. The routes act on it.

local REASONS = {
  { "expired", "expired" },
  { "not yet valid", "not-yet-valid" },
  { "to match kid or alg", "unknown-key" },
  { "verification fails", "bad-signature" },
}

local function reason_of(status)
  local message = status and status.message and status.message:lower() or ""
  for _, pair in ipairs(REASONS) do
    if message:find(pair[1], 1, true) then return pair[2] end
  end
  return "malformed"
end

local function is_text(value)
  return type(value) == "string" and value ~= ""
end

local function is_whole(value)
  return type(value) == "number" and value == math.floor(value)
end

local function are_texts(list)
  if type(list) ~= "table" then return false end
  for _, value in pairs(list) do
    if type(value) ~= "string" then return false end
  end
  return true
end

local function judge(found, run)
  local claims, head = found["claims"], found["header"]
  if not claims then return reason_of(found["status"]) end
  if not head or head.alg ~= "EdDSA" or not is_text(head.kid) then return "malformed" end
  if not (is_text(claims.iss) and is_text(claims.run) and are_texts(claims.scope) and are_texts(claims.ops)) then
    return "malformed"
  end
  if not (is_whole(claims.iat) and is_whole(claims.nbf) and is_whole(claims.exp)) then return "malformed" end
  local traces, here = false, false
  for _, op in pairs(claims.ops) do traces = traces or op == "trace" end
  for _, glob in pairs(claims.scope) do here = here or fits(SERVICE, glob) end
  if not (traces and here) then return "out-of-scope" end
  if run and run ~= claims.run then return "ambiguous" end
  return "trace"
end

-- An outsider's flag is taken off, unless a key of ours may have signed it: without its flag a bullet would write.
local function judge_outsider(found, verdict, tokens)
  if found == "ambiguous" then return tokens > 0 and "out-of-scope" or "strip" end
  if found ~= "token" or verdict == "bad-signature" or verdict == "unknown-key" or verdict == "malformed" then
    return "strip"
  end
  return "out-of-scope"
end

function envoy_on_request(handle)
  local ours = noted(handle)
  if not ours.found then return end
  local headers = handle:headers()
  local token, verdict = headers:get(PROOF), ours.found
  headers:remove(PROOF)
  if verdict == "token" then
    verdict = judge(handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn") or {}, ours.run)
  end
  if not ours.trusted then verdict = judge_outsider(ours.found, verdict, ours.tokens or 0) end
  if verdict == "strip" then
    strip(headers)
    note(handle, "claim", "no")
    note(handle, "bullet", "no")
  else
    note(handle, "claim", verdict)
    if verdict == "trace" then
      put_first(headers)
      -- So that services need look at one header only.
      if headers:getNumValues(CARRIER) == 0 then headers:add(CARRIER, token) end
    end
  end
  handle:clearRouteCache()
end
