package main

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"sync"
)

// role is what someone may do; each may all that the one before may.
type role int

const (
	nobody role = iota
	none        // let in, and allowed nothing: Grafana's None, and what comes of a role that it does not know
	viewer
	editor
	admin
)

var roles = map[string]role{"None": none, "Viewer": viewer, "Editor": editor, "Admin": admin}

const sessionCookie = "grafana_session"

// caller is whoever sent a request.
type caller struct {
	role     role
	loggedIn bool
	problem  map[string]any // why he is nobody
}

// anonymousRole is that of a visitor who has not logged in.
func anonymousRole() role {
	const onlyOrganisation = "Main Org."
	if os.Getenv("GF_AUTH_ANONYMOUS_ENABLED") != "true" ||
		setting("GF_AUTH_ANONYMOUS_ORG_NAME", onlyOrganisation) != onlyOrganisation {
		return nobody
	}
	return max(none, roles[setting("GF_AUTH_ANONYMOUS_ORG_ROLE", "Viewer")])
}

// caller tells who sent a request. Wrong credentials are worth less than none.
func (g *grafanaAPI) caller(r *http.Request) caller {
	if user, password, given := r.BasicAuth(); given {
		if g.admin.matches(user, password) {
			return caller{role: admin, loggedIn: true}
		}
		return caller{problem: unauthorized("password-auth.failed", "Invalid username or password")}
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil && g.sessions.has(cookie.Value) {
		return caller{role: admin, loggedIn: true}
	}
	return caller{role: g.anonymous, problem: unauthorized("auth.unauthorized", "Unauthorized")}
}

// require lets those pass who have at least this role, and tells others which permission they lack.
func (g *grafanaAPI) require(least role, permission string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch caller := g.caller(r); {
		case caller.role == nobody:
			reply(w, http.StatusUnauthorized, caller.problem)
		case caller.role < least:
			words := "You'll need additional permissions to perform this action. Permissions needed: " + permission
			refusal := map[string]string{"title": "Access denied", "message": words, "accessErrorId": "ACE0"}
			reply(w, http.StatusForbidden, refusal)
		default:
			next(w, r)
		}
	}
}

func unauthorized(id, words string) map[string]any {
	return map[string]any{"message": words, "messageId": id, "statusCode": http.StatusUnauthorized, "traceID": ""}
}

func message(words string) map[string]string {
	return map[string]string{"message": words}
}

// user is refused to anonymous visitors, whatever their role.
func (g *grafanaAPI) user(w http.ResponseWriter, r *http.Request) {
	if caller := g.caller(r); !caller.loggedIn {
		reply(w, http.StatusUnauthorized, caller.problem)
		return
	}
	reply(w, http.StatusOK, map[string]any{"id": 1, "login": g.admin.User, "orgId": 1, "isGrafanaAdmin": true})
}

func (g *grafanaAPI) login(w http.ResponseWriter, r *http.Request) {
	var credentials struct{ User, Password string }
	if err := json.NewDecoder(r.Body).Decode(&credentials); err != nil {
		reply(w, http.StatusBadRequest, message("bad login data"))
		return
	}
	if !g.admin.matches(credentials.User, credentials.Password) {
		reply(w, http.StatusUnauthorized, unauthorized("password-auth.failed", "Invalid username or password"))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: g.sessions.open(), Path: "/", HttpOnly: true})
	reply(w, http.StatusOK, message("Logged in"))
}

func (g *grafanaAPI) logout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		g.sessions.close(cookie.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true})
	http.Redirect(w, r, "/login", http.StatusFound)
}

// sessions are the cookies of those who logged in.
type sessions struct {
	mutex  sync.Mutex
	tokens map[string]bool
}

func (s *sessions) open() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.tokens == nil {
		s.tokens = map[string]bool{}
	}
	token := rand.Text()
	s.tokens[token] = true
	return token
}

func (s *sessions) has(token string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.tokens[token]
}

func (s *sessions) close(token string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.tokens, token)
}
