module carillon.local/traefik

go 1.26.0

require github.com/traefik/traefik/v3 v3.7.13

// What Traefik's own go.mod replaces; its module leaves out the folder of the first.
replace (
	github.com/gorilla/mux => github.com/containous/mux v0.0.0-20250523120546-41b6ec3aed59
	github.com/traefik/traefik/dynamic/ext => ./ext
)

exclude github.com/tencentcloud/tencentcloud-sdk-go v3.0.83+incompatible

// Copies that install.sh makes: one without two hundred providers of DNS, some of which cannot be had; one with two functions more.
replace (
	github.com/abbot/go-http-auth => ./auth
	github.com/go-acme/lego/v5 => ./lego
)
