// The yardstick: an admission webhook that does nothing but what every webhook must. It reads the review, finds its
// uid and answers "allowed", on net/http's own TLS server with HTTP/2 and keep-alive as they come.
package main

import (
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
)

type review struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Request    *struct {
		UID string `json:"uid"`
	} `json:"request,omitempty"`
	Response *response `json:"response,omitempty"`
}

type response struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
}

func allow(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var asked review
	if err := json.Unmarshal(body, &asked); err != nil || asked.Request == nil {
		http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := review{
		APIVersion: asked.APIVersion,
		Kind:       asked.Kind,
		Response:   &response{UID: asked.Request.UID, Allowed: true},
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.Print(err)
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:9443", "where to listen")
	certificate := flag.String("cert", "", "PEM file with the certificate")
	key := flag.String("key", "", "PEM file with its key")
	flag.Parse()
	http.HandleFunc("/mutate", allow)
	http.HandleFunc("/validate", allow)
	log.Fatal(http.ListenAndServeTLS(*address, *certificate, *key, nil))
}
