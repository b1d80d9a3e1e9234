package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// What the six systems understand and answer. Adapters and downstreams share only these types, as JSON.
type (
	subscriber struct {
		IMSI   string `json:"imsi"`
		MSISDN string `json:"msisdn"`
	}
	subscriberID struct {
		SubscriberID string `json:"subscriberId"`
	}
	assignProfile struct {
		IMSI string `json:"imsi"`
		Plan string `json:"plan"`
	}
	profile struct {
		ProfileID    string `json:"profileId"`
		DownlinkMbps int    `json:"downlinkMbps"`
	}
	profileID struct {
		ProfileID string `json:"profileId"`
	}
	window struct {
		StartDateTime string `json:"startDateTime"`
		EndDateTime   string `json:"endDateTime"`
	}
	requestPort struct {
		MSISDN string `json:"msisdn"`
		Donor  string `json:"donor"`
		Window window `json:"window"`
	}
	port struct {
		PortID string `json:"portId"`
		Window window `json:"window"`
	}
	routeNumber struct {
		PortID string `json:"portId"`
		MSISDN string `json:"msisdn"`
	}
	route struct {
		RoutingNumber string `json:"routingNumber"`
	}
	updateCard struct {
		ICCID  string `json:"iccid"`
		IMSI   string `json:"imsi"`
		MSISDN string `json:"msisdn"`
	}
	cardUpdate struct {
		OTAReference string `json:"otaReference"`
	}
	startContract struct {
		MSISDN string `json:"msisdn"`
		Plan   string `json:"plan"`
	}
	contract struct {
		AccountID string `json:"accountId"`
	}
	message struct {
		To   string `json:"to"`
		Text string `json:"text"`
	}
	messageID struct {
		MessageID string `json:"messageId"`
	}
)

// operation is what a downstream does for one activity. The same key makes the same answer, so a repeated request needs
// no memory of the first answer.
type operation func(key string, args []byte) (any, error)

// systems are the downstreams by name, with their operations.
var systems = map[string]map[string]operation{
	"hss": {
		"createSubscriber": does(func(key string, _ subscriber) subscriberID { return subscriberID{reference("SUB", key)} }),
		"deleteSubscriber": does(func(_ string, in subscriberID) subscriberID { return in }),
	},
	"policy": {
		"assignProfile": does(func(key string, in assignProfile) profile {
			p := profile{ProfileID: reference("POL", key), DownlinkMbps: 150}
			if strings.HasPrefix(in.Plan, "5G") {
				p.DownlinkMbps = 1000
			}
			return p
		}),
		"removeProfile": does(func(_ string, in profileID) profileID { return in }),
	},
	"sim": {
		"updateCard": does(func(key string, _ updateCard) cardUpdate { return cardUpdate{reference("OTA", key)} }),
	},
	"npdb": {
		"requestPort": does(func(key string, in requestPort) port { return port{reference("PORT", key), in.Window} }),
		"routeNumber": does(func(_ string, in routeNumber) route { return route{"D071" + in.MSISDN[max(0, len(in.MSISDN)-4):]} }),
	},
	"billing": {
		"startContract": does(func(key string, _ startContract) contract { return contract{reference("ACC", key)} }),
		"endContract":   does(func(_ string, in contract) contract { return in }),
	},
	"sms": {
		"send": does(func(key string, _ message) messageID { return messageID{reference("MSG", key)} }),
	},
}

func systemNames() []string { return slices.Sorted(maps.Keys(systems)) }

func does[In, Out any](answer func(key string, in In) Out) operation {
	return func(key string, args []byte) (any, error) {
		var in In
		d := json.NewDecoder(bytes.NewReader(args))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, fmt.Errorf("the arguments do not fit: %w", err)
		}
		if empty := emptyFields(reflect.ValueOf(in), ""); len(empty) > 0 {
			return nil, fmt.Errorf("these arguments must not be empty: %s", strings.Join(empty, ", "))
		}
		return answer(key, in), nil
	}
}

// emptyFields names the text fields that hold nothing: every argument is required.
func emptyFields(v reflect.Value, prefix string) (empty []string) {
	for i := range v.NumField() {
		name := prefix + v.Type().Field(i).Tag.Get("json")
		switch f := v.Field(i); {
		case f.Kind() == reflect.Struct:
			empty = append(empty, emptyFields(f, name+".")...)
		case f.IsZero():
			empty = append(empty, name)
		}
	}
	return empty
}

func reference(prefix, key string) string {
	sum := sha256.Sum256([]byte(key))
	return prefix + "-" + strings.ToUpper(hex.EncodeToString(sum[:4]))
}
