-- Nothing of ours goes to third parties.

function envoy_on_request(handle)
  local claim = noted(handle).claim
  if claim and (claim == "safe" or claim:find("redirect", 1, true)) then strip(handle:headers()) end
end
