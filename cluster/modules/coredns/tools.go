// Package tools names the DNS server of the local node.
package tools

import _ "github.com/coredns/coredns"
