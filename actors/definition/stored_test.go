package definition

import "testing"

// TestLaterMistakes: what is a mistake since a later version only is none in a document that was deployed before.
func TestLaterMistakes(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		"do:\n- a: {emit: {event: {with: {source: /s, type: t, subject: 7}}}}\n",
		"use: {authentications: {a: {oauth2: {authority: 'https://a.example', grant: client_credentials, client: {id: 7}}}}}\n" +
			"do:\n- a: {set: {b: 1}}\n",
		"use: {authentications: {a: {bearer: {use: nowhere}}}}\ndo:\n- a: {set: {b: 1}}\n",
	} {
		if def, _ := Compile([]byte(head+document), Limits{}); def != nil {
			t.Errorf("this is taken: %s", document)
		}
		if def, found := Load([]byte(head+document), Limits{}); def == nil {
			t.Errorf("this is refused, and was deployed: %s: %v", document, found)
		}
	}
}
