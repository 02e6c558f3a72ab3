// Package tools names the Gatekeeper that the benchmarks set Sluice beside, and its gator.
package tools

import (
	_ "github.com/open-policy-agent/gatekeeper/v3"
	_ "github.com/open-policy-agent/gatekeeper/v3/cmd/gator"
)
