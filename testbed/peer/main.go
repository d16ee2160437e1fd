// An operator of controller-runtime that does nothing but write: what the bench compares the operator with.
//
// It watches Noops of one namespace and writes as often as the operator does for a child that somebody else has made:
// the finalizer, a status while it works, a status with the condition Ready, and an event with each.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "bench.freeleaps.com/peer"

// done holds the UIDs of those that are Ready: the cache may not show yet what was just written.
type reconciler struct {
	client.Client
	done *sync.Map
}

// Reconcile takes one object from its creation to Ready, or lets a deleted one go.
func (r reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	noop := &Noop{}
	if err := r.Get(ctx, request.NamespacedName, noop); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !noop.DeletionTimestamp.IsZero() {
		before := noop.DeepCopy()
		controllerutil.RemoveFinalizer(noop, finalizer)
		return ctrl.Result{}, client.IgnoreNotFound(r.Patch(ctx, noop, client.MergeFrom(before)))
	}
	if _, done := r.done.Load(noop.UID); done || meta.IsStatusConditionTrue(noop.Status.Conditions, "Ready") {
		return ctrl.Result{}, nil
	}
	before := noop.DeepCopy()
	if controllerutil.AddFinalizer(noop, finalizer) {
		if err := r.Patch(ctx, noop, client.MergeFrom(before)); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.say(ctx, noop, metav1.ConditionFalse, "Progressing"); err != nil {
		return ctrl.Result{}, err
	}
	if err := r.say(ctx, noop, metav1.ConditionTrue, "Succeeded"); err != nil {
		return ctrl.Result{}, err
	}
	r.done.Store(noop.UID, true)
	return ctrl.Result{}, nil
}

func (r reconciler) say(ctx context.Context, noop *Noop, status metav1.ConditionStatus, reason string) error {
	before := noop.DeepCopy()
	noop.Status.ObservedGeneration = noop.Generation
	meta.SetStatusCondition(&noop.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: status, Reason: reason, ObservedGeneration: noop.Generation,
	})
	if err := r.Status().Patch(ctx, noop, client.MergeFrom(before)); err != nil {
		return err
	}
	if status != metav1.ConditionTrue {
		return nil
	}
	return r.Create(ctx, eventOf(noop, reason))
}

func eventOf(noop *Noop, reason string) *corev1.Event {
	now := metav1.NewTime(time.Now())
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{GenerateName: noop.Name + "-", Namespace: noop.Namespace},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: groupVersion.String(), Kind: "Noop", Namespace: noop.Namespace, Name: noop.Name, UID: noop.UID,
		},
		Type: corev1.EventTypeNormal, Reason: reason, Message: "told by the peer",
		Source: corev1.EventSource{Component: "bench-peer"}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}

func run(namespace string, qps float64, burst, workers int) error {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	addToScheme(scheme)
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	if qps != 0 {
		config.QPS, config.Burst = float32(qps), burst
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return err
	}
	options := controller.Options{MaxConcurrentReconciles: workers}
	worker := reconciler{manager.GetClient(), &sync.Map{}}
	err = ctrl.NewControllerManagedBy(manager).For(&Noop{}).WithOptions(options).Complete(worker)
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	go func() {
		if manager.GetCache().WaitForCacheSync(ctx) {
			fmt.Println("the peer watches")
		}
	}()
	return manager.Start(ctx)
}

func main() {
	namespace := flag.String("namespace", "default", "whose Noops are watched")
	qps := flag.Float64("qps", 0, "requests a second of its client; 0: the default of controller-runtime, below 0: no limit")
	burst := flag.Int("burst", 0, "how many of them at once")
	workers := flag.Int("workers", 1, "objects that are worked on at the same time")
	flag.Parse()
	ctrl.SetLogger(zap.New())
	if err := run(*namespace, *qps, *burst, *workers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
