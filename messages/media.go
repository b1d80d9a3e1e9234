package messages

import (
	"mime"
	"strings"
)

// IsJSON tells whether what has a media type is JSON; an empty one says so, too.
func IsJSON(mediaType string) bool {
	if mediaType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}
