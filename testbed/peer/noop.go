package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "bench.freeleaps.com", Version: "v1"}

// Noop is the kind that tests/bench/noop_kind.py defines.
type Noop struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              NoopSpec   `json:"spec,omitempty"`
	Status            NoopStatus `json:"status,omitempty"`
}

// NoopSpec is as large as that of a child.
type NoopSpec struct {
	Payload string `json:"payload,omitempty"`
}

// NoopStatus is what the peer writes.
type NoopStatus struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
}

// NoopList is what a list of them is.
type NoopList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Noop `json:"items"`
}

// DeepCopy copies all that a change could reach.
func (n *Noop) DeepCopy() *Noop {
	copied := *n
	copied.ObjectMeta = *n.ObjectMeta.DeepCopy()
	copied.Status.Conditions = append([]metav1.Condition(nil), n.Status.Conditions...)
	return &copied
}

// DeepCopyObject is DeepCopy for the machinery.
func (n *Noop) DeepCopyObject() runtime.Object { return n.DeepCopy() }

// DeepCopyObject is DeepCopy for the machinery.
func (l *NoopList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.ListMeta = *l.ListMeta.DeepCopy()
	copied.Items = make([]Noop, len(l.Items))
	for at := range l.Items {
		copied.Items[at] = *l.Items[at].DeepCopy()
	}
	return &copied
}

func addToScheme(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(groupVersion, &Noop{}, &NoopList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
}
