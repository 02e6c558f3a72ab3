// Package tools names the etcd of the local control plane.
package tools

import _ "go.etcd.io/etcd/server/v3"
