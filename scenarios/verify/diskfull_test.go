package main

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestRefusedFull(t *testing.T) {
	t.Parallel()
	const text = "store is at its low-water mark: its disk has 5 bytes free; new orders are accepted from 1000 bytes on"
	reason := &errdetails.ErrorInfo{Reason: "STORE_FULL"}
	again := &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}
	for name, tt := range map[string]struct {
		code    codes.Code
		text    string
		details []protoadapt.MessageV1
		right   bool
	}{
		"right":           {codes.ResourceExhausted, text, []protoadapt.MessageV1{reason, again}, true},
		"another code":    {codes.Unavailable, text, []protoadapt.MessageV1{reason, again}, false},
		"no reason":       {codes.ResourceExhausted, text, []protoadapt.MessageV1{again}, false},
		"no time":         {codes.ResourceExhausted, text, []protoadapt.MessageV1{reason}, false},
		"no limit":        {codes.ResourceExhausted, "the disk is full, 1000", []protoadapt.MessageV1{reason, again}, false},
		"no value":        {codes.ResourceExhausted, "the low-water mark", []protoadapt.MessageV1{reason, again}, false},
		"nothing but OK":  {codes.OK, text, nil, false},
		"nothing but why": {codes.ResourceExhausted, text, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := status.New(tt.code, tt.text)
			if len(tt.details) > 0 {
				var err error
				if st, err = st.WithDetails(tt.details...); err != nil {
					t.Fatal(err)
				}
			}
			if err := refusedFull(st.Err(), 1000); (err == nil) != tt.right {
				t.Errorf("found wrong: %v", err)
			}
		})
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	s := site{seed: 1}
	got := noise(s.chance(), 100)
	s.seed = 2
	if len(got) != 100 || got[0] != '"' || got[99] != '"' || bytes.Equal(got, noise(s.chance(), 100)) {
		t.Errorf("noise is %q", got)
	}
}
