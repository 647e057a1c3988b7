-- What becomes of a bullet's call, as tracer_bullet/guards/policy.py says it. The routes act on it.

local SAFE = { GET = true, HEAD = true, OPTIONS = true }

local function any(text, globs)
  for _, glob in ipairs(globs) do
    if fits(text, glob) then return true end
  end
  return false
end

local function judge(method, authority, path)
  local host, port = authority:match("^([%w._%-]+):?(%d*)$")
  if not host then host, port = authority:match("^%[([%x:.]+)%]:?(%d*)$") end
  if not host then return "deny" end
  if port == "" then port = any(host, TLS_HOSTS) and "443" or "80" end
  if any(host, SYSTEM_HOSTS) or any(host .. ":" .. port, SYSTEM_HOSTS) then return "inside" end
  if SAFE[method] then return "safe" end
  for index, stub in ipairs(STUBS) do
    if stub.method == "*" or stub.method == method then
      -- Where the proxy makes the TLS, the service says http and the stub https.
      for _, scheme in ipairs({ "http://", "https://" }) do
        if fits(scheme .. authority .. path, stub.url) then return "stub " .. index end
      end
    end
  end
  for index, glob in ipairs(REDIRECTS) do
    if fits(host, glob) then return "redirect " .. index end
  end
  return "deny"
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if not may_claim(headers) then return end
  begin(handle)
  if not read_claim(headers) then
    note(handle, "claim", "no")
    handle:clearRouteCache()
    return
  end
  local authority, path = (headers:get(":authority") or ""):lower(), headers:get(":path") or ""
  note(handle, "claim", judge(headers:get(":method"), authority, path:match("^[^?]*")))
  handle:clearRouteCache()
end
