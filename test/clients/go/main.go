// Answers of an endpoint under the schemas of elimity-com/scim, and filters
// that scim2/filter-parser takes.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/elimity-com/scim/schema"
	filter "github.com/scim2/filter-parser/v2"
)

var failed = 0

func check(ok bool, what string, more ...any) {
	if ok {
		fmt.Println("ok - " + what)
		return
	}
	failed++
	fmt.Println(append([]any{"not ok - " + what}, more...)...)
}

func send(method, path string, body any) (int, map[string]any) {
	var reader io.Reader
	if body != nil {
		text, _ := json.Marshal(body)
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, os.Getenv("SCIM_URL")+path, reader)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("SCIM_TOKEN"))
	request.Header.Set("Content-Type", "application/scim+json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber()
	var answer map[string]any
	_ = decoder.Decode(&answer)
	return response.StatusCode, answer
}

// without what the server adds, which the schemas of that library leave out
func stripped(resource map[string]any) map[string]any {
	for _, name := range []string{"id", "meta", "externalId"} {
		delete(resource, name)
	}
	for name := range resource {
		if len(name) > 4 && name[:4] == "urn:" {
			delete(resource, name)
		}
	}
	return resource
}

func main() {
	run := fmt.Sprint(time.Now().UnixNano())
	user := map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": "go-" + run, "active": true, "title": "Tour Guide",
		"name":   map[string]any{"givenName": "Barbara", "familyName": "Jensen", "formatted": "Ms. Barbara J Jensen"},
		"emails": []any{map[string]any{"value": "b@example.org", "type": "work", "primary": true}, map[string]any{"value": "h@example.org", "type": "home"}},
		"phoneNumbers": []any{map[string]any{"value": "555-555-5555", "type": "work"}},
		"addresses":    []any{map[string]any{"country": "US", "type": "work", "locality": "Hollywood"}},
	}
	status, made := send("POST", "/Users", user)
	check(status == 201, "create", status, made)
	_, err := schema.CoreUserSchema().Validate(stripped(made))
	check(err == nil, "the user is one by elimity-com/scim", err)
	status, group := send("POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "go-" + run, "members": []any{map[string]any{"value": "nobody-" + run}}})
	check(status == 201, "create a group", status, group)
	_, err = schema.CoreGroupSchema().Validate(stripped(group))
	check(err == nil, "the group is one by elimity-com/scim", err)

	filters := []string{
		`userName Eq "john"`, `Username eq "john"`, `userName eq "bjensen"`, `name.familyName co "O'Malley"`, `userName sw "J"`,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"`, `title pr`, `meta.lastModified gt "2011-05-13T04:42:34Z"`,
		`meta.lastModified le "2011-05-13T04:42:34Z"`, `title pr and userType eq "Employee"`, `title pr or userType eq "Intern"`,
		`schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`, `userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`,
		`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`, `userType eq "Employee" and (emails.type eq "work")`,
		`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`, `emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`,
		`active eq true`, `not (active eq false)`, `title eq null`, `userName ew "e"`,
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "x"`,
		`userName`, `userName xx "a"`, `userName eq`, `(title pr`, `title pr)`, `emails[type eq "work"`, `userName eq "a" and`, `and title pr`,
	}
	for _, text := range filters {
		_, err := filter.ParseFilter([]byte(text))
		status, answer := send("GET", "/Users?count=1&filter="+url.QueryEscape(text), nil)
		check((err == nil) == (status == 200), "filter "+text, status, err, answer)
	}
	if failed > 0 {
		os.Exit(1)
	}
}
