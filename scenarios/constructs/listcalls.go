package constructs

import "strings"

// shop is where requests of cases go.
const shop = "https://shop.example.com"

// requests are cases of call: functions, http, openapi, asyncapi and grpc, with authentications and secrets.
func requests() []Case {
	request := func(name, with, output, does string) Case {
		return Case{
			Name: name, Input: `{"id": 7}`, Document: "use: {secrets: [key]}\ndo:\n- r: {call: http, with: {" + with + "}}\n",
			Want: Want{Output: output, Path: "r", Did: did{does}},
		}
	}
	by := func(name, policy, as string) Case {
		return request(name, "method: get, endpoint: {uri: '"+shop+"/items/{id}', authentication: "+policy+"}", `{"item":"7"}`,
			"GET "+shop+"/items/7 "+as)
	}
	policy := func(client string) string {
		return "{authority: '" + shop + "/realm', grant: client_credentials, client: {id: " + client + ", secret: s3cret}, scopes: [read]}"
	}
	all := []Case{
		request("http-get", "method: get, endpoint: '"+shop+"/items/{id}', query: {all: true}, headers: {Accept: text/plain}",
			`{"item":"7"}`, "GET "+shop+"/items/7?all=true Accept: text/plain"),
		request("http-post", "method: post, endpoint: {uri: '"+shop+"/orders'}, body: {of: '${ .id }'}", `{"accepted":true}`,
			"POST "+shop+`/orders {"of":7}`),
		request("http-form", "method: post, endpoint: '"+shop+"/orders', headers: {Content-Type: application/x-www-form-urlencoded}, "+
			"body: {of: '${ .id }'}", `{"accepted":true}`, "POST "+shop+"/orders (application/x-www-form-urlencoded) of=7"),
		request("http-raw", "method: get, endpoint: '"+shop+"/items/7', output: raw", `"eyJpdGVtIjoiNyJ9"`, "GET "+shop+"/items/7"),
		request("http-secret", "method: get, endpoint: '"+shop+"/items/7', query: {by: '${ $secrets.key.name + \"-x\" }'}", `{"item":"7"}`,
			"GET "+shop+"/items/7?by=ada-x"),
		by("authentication-basic", "{basic: {username: ada, password: s3cret}}", "Basic YWRhOnMzY3JldA=="),
		by("authentication-bearer", "{bearer: {token: '${ \"t\\(.id)\" }'}}", "Bearer t7"),
		by("authentication-secret", "{bearer: {use: key}}", "Bearer t0ken"),
		by("authentication-oauth2", "{oauth2: "+policy("c1")+"}", "Bearer oauth2:c1"),
		by("authentication-oidc", "{oidc: "+policy("c1")+"}", "Bearer oidc:c1"),
	}
	digest := by("authentication-digest", "{digest: {username: ada, password: s3cret}}", "")
	digest.Document = strings.ReplaceAll(digest.Document, "/items/{id}", "/digest")
	digest.Did = did{"GET " + shop + "/digest", "GET " + shop + "/digest Digest"}
	response := request("http-response", "method: get, endpoint: '"+shop+"/items/7', output: response",
		`{"statusCode":200,"content":{"item":"7"}}`, "GET "+shop+"/items/7")
	response.Part = true
	redirect := request("http-redirect", "method: get, endpoint: '"+shop+"/moved', redirect: true", `{"item":"1"}`, "GET "+shop+"/moved")
	redirect.Did = append(redirect.Did, "GET "+shop+"/items/1")
	return append(append(all, digest, response, redirect), described()...)
}

// described are cases of calls that are described elsewhere, of those that fail, and of functions.
func described() []Case {
	return []Case{
		{Name: "http-error", Document: `
do:
- t:
    try: [{r: {call: http, with: {method: get, endpoint: '` + shop + `/items/404'}}}]
    catch: {errors: {with: {type: COMMUNICATION, status: 404}}, do: [{told: {set: {status: '${ $error.status }'}}}]}
`, Want: Want{Output: `{"status":404}`, Path: "t>r>told", Did: did{"GET " + shop + "/items/404"}}},
		{Name: "http-retried", Document: `
do:
- t:
    try: [{r: {call: http, with: {method: post, endpoint: '` + shop + `/flaky', body: {n: 1}}}}]
    catch: {errors: {with: {status: 503}}, retry: {delay: PT0.1S}}
`, Want: Want{Output: `{"at":"last"}`, Path: "t>r>r", Did: did{"POST " + shop + `/flaky {"n":1}`, "POST " + shop + `/flaky {"n":1}`}}},
		{Name: "authentication-reusable", Document: `
use: {authentications: {mine: {basic: {username: ada, password: s3cret}}}}
do: [{r: {call: http, with: {method: get, endpoint: {uri: '` + shop + `/items/7', authentication: {use: mine}}}}}]
`, Want: Want{Output: `{"item":"7"}`, Did: did{"GET " + shop + "/items/7 Basic YWRhOnMzY3JldA=="}}},
		// The same policy of two kinds: their tokens are given at two places.
		{Name: "authentication-kinds", Document: `
do:
- a: {call: http, with: {method: get, endpoint: {uri: '` + shop + `/items/1', authentication: {oauth2: ` + sameClient + `}}}}
- b: {call: http, with: {method: get, endpoint: {uri: '` + shop + `/items/2', authentication: {oidc: ` + sameClient + `}}}}
`, Want: Want{Output: `{"item":"2"}`, Did: did{
			"GET " + shop + "/items/1 Bearer oauth2:same", "GET " + shop + "/items/2 Bearer oidc:same",
		}}},
		{Name: "openapi", Input: `{"id": "a b"}`, Document: `
do:
- r:
    call: openapi
    with:
      document: {endpoint: '` + shop + `/openapi.json'}
      operationId: placeOrder
      parameters: {id: '${ .id }', dry: true, body: {n: 1}}
`, Want: Want{Output: `{"accepted":true}`, Did: did{"POST " + shop + `/orders/a%20b?dry=true {"n":1}`}}},
		{Name: "asyncapi", Input: `{"n": 1}`, Document: `
do:
- r:
    call: asyncapi
    with:
      document: {endpoint: '` + shop + `/asyncapi.json'}
      operation: placeOrder
      message: {payload: {n: '${ .n }'}}
`, Want: Want{Output: `{"accepted":true}`, Did: did{"POST " + shop + `/orders {"n":1}`}}},
		{Name: "grpc", Input: `{"who": "Ada"}`, Document: `
do:
- a: {call: grpc, with: ` + greeting("'${ .who }'") + `}
- t:
    try: [{b: {call: grpc, with: ` + greeting("nobody") + `}}]
    catch: {errors: {with: {status: 404}}, do: [{told: {set: {said: '${ .message }', title: '${ $error.title }'}}}]}
`, Want: Want{Output: `{"said":"Hello Ada","title":"gRPC NOT_FOUND"}`, Path: "a>t>b>told", Did: did{
			"grpc /GreeterApi.Greeter/SayHello Ada", "grpc /GreeterApi.Greeter/SayHello nobody",
		}}},
		{Name: "function", Input: `{"n": 7}`, Document: `
use:
  functions:
    book: {input: {schema: {document: {type: object, required: [n]}}}, call: stub.apply, with: {name: '${ "n\(.n)" }'}}
do:
- a: {call: book, with: {n: 1}}
- b: {input: {from: '$context'}, call: book}
`, Want: Want{Output: `{"done":"n7"}`, Did: did{"n1", "n7"}}},
		{Name: "function-of-catalog", Document: `
use: {catalogs: {ours: {endpoint: '` + shop + `/catalog'}}}
do: [{a: {call: 'greet:1.0.0@ours', with: {who: Ada}}}]
`, Want: Want{Output: `{"done":"hello Ada"}`, Did: did{"hello Ada"}}},
		{Name: "function-by-address", Document: `
do: [{a: {call: '` + shop + `/catalog/functions/greet/1.0.0/function.yaml', with: {who: Ada}}}]
`, Want: Want{Output: `{"done":"hello Ada"}`, Did: did{"hello Ada"}}},
		{Name: "activity-of-version", Document: `
do: [{a: {call: 'stub.apply:1.0.0@default', with: {name: a}}}, {b: {call: stub.put, with: {name: b}}}]
`, Want: Want{Output: `{"done":"b"}`, Did: did{"a", "b"}}},
	}
}

// sameClient is a policy that oauth2 and oidc both know.
const sameClient = "{authority: '" + shop + "/realm', grant: client_credentials, client: {id: same, secret: s3cret}}"

// greeting is how somebody is greeted.
func greeting(name string) string {
	return "{proto: {endpoint: '" + shop + "/greet.proto'}, service: {name: GreeterApi.Greeter, host: greeter.example.com}, " +
		"method: SayHello, arguments: {name: " + name + "}}"
}
