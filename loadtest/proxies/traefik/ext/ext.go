// Package ext stands for the folder of that name in Traefik's own repository, which its module leaves out: two empty structures.
package ext

// HTTP has nothing of its own.
type HTTP struct{}

// Router has nothing of its own.
type Router struct{}

// DeepCopyInto copies nothing.
func (in *HTTP) DeepCopyInto(out *HTTP) { *out = *in }

// DeepCopyInto copies nothing.
func (in *Router) DeepCopyInto(out *Router) { *out = *in }
