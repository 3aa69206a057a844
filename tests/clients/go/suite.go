package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"strings"
	"time"
)

// How long a case waits for something that must happen.
const patience = 40 * time.Second

// A context is what a case knows: the broker's address, and a name that no other case or run uses.
type suiteContext struct {
	bootstrap string
	name      string
	input     *bufio.Scanner
}

type suiteCase struct {
	name string
	run  func(*suiteContext)
}

// runSuite follows the harness's conventions; tests/clients/README.md has them.
func runSuite(client string, cases []suiteCase) {
	bootstrap, names := os.Args[1], os.Args[2:]
	run := os.Getenv("MILLRACE_TEST_RUN")
	if run == "" {
		run = fmt.Sprintf("%d-%d", os.Getpid(), time.Now().Unix())
	}
	known := []string{}
	byName := map[string]func(*suiteContext){}
	for _, c := range cases {
		known = append(known, c.name)
		byName[c.name] = c.run
	}
	emit(map[string]any{"client": client, "cases": known})

	input := bufio.NewScanner(os.Stdin)
	passed := true
	runNamed := func(name string) {
		ok, detail := outcome(byName[name], &suiteContext{
			bootstrap: bootstrap,
			name:      strings.Join([]string{client, name, run}, "."),
			input:     input,
		})
		passed = passed && ok
		emit(map[string]any{"case": name, "ok": ok, "detail": detail})
	}
	for _, name := range names {
		runNamed(name)
	}
	for len(names) == 0 && input.Scan() {
		runNamed(strings.TrimSpace(input.Text()))
	}
	if !passed {
		os.Exit(1)
	}
}

// outcome runs a case; a failed check is a panic.
func outcome(run func(*suiteContext), context *suiteContext) (ok bool, detail any) {
	defer func() {
		if failure := recover(); failure != nil {
			ok, detail = false, fmt.Sprintf("%v\n%s", failure, debug.Stack())
		}
	}()
	run(context)
	return true, nil
}

func emit(line map[string]any) {
	text, err := json.Marshal(line)
	must(err)
	fmt.Println(string(text))
}

// restartBroker has the broker restarted, and returns when it answers again.
func (c *suiteContext) restartBroker() {
	emit(map[string]any{"hook": "restart"})
	if !c.input.Scan() {
		panic("nobody restarted the broker")
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// equal fails the case unless both are equal.
func equal(actual, expected any, what string, arguments ...any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%s: got %s, want %s", fmt.Sprintf(what, arguments...), clip(actual), clip(expected)))
	}
}

func clip(value any) string {
	text := fmt.Sprintf("%+v", value)
	if len(text) > 600 {
		text = fmt.Sprintf("%s... (%d characters)", text[:600], len(text))
	}
	return text
}

// waitUntil fails the case unless the condition comes true in time.
func waitUntil(what string, condition func() bool) {
	for end := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			panic("timed out waiting for " + what)
		}
	}
}
