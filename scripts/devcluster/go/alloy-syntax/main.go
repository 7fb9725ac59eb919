// Command alloy-syntax is Alloy's own parser and printer without Alloy: it prints a configuration as `alloy fmt` would,
// or says where it cannot be read. Which components and arguments there are it does not know.
//
//	alloy-syntax FILE
package main

import (
	"fmt"
	"os"

	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/printer"
)

func main() {
	if len(os.Args) != 2 {
		fail(fmt.Errorf("usage: alloy-syntax FILE"))
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail(err)
	}
	file, err := parser.ParseFile(os.Args[1], text)
	if err != nil {
		fail(err)
	}
	if err := printer.Fprint(os.Stdout, file); err != nil {
		fail(err)
	}
	fmt.Println()
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "error: %v\n", err)
	os.Exit(1)
}
