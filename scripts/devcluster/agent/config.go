package main

import (
	"errors"
	"fmt"

	"github.com/grafana/alloy/syntax/ast"
	"github.com/grafana/alloy/syntax/diag"
	"github.com/grafana/alloy/syntax/parser"
	"github.com/grafana/alloy/syntax/vm"
)

// component is a block of the configuration. Its exported fields are the arguments that it knows; any other is an error.
type component interface {
	// exports are the values that other components refer to.
	exports() map[string]any
	// build adds to the plan what the component stands for; all components have their arguments by then.
	build(id string, plan *plan) error
}

// newComponent gives the component of a name, or nil if this program has none such.
func newComponent(name string) component {
	switch name {
	case "discovery.kubernetes":
		return &discoveryKubernetes{}
	case "discovery.relabel":
		return &discoveryRelabel{}
	case "prometheus.exporter.unix":
		return &exporterUnix{}
	case "prometheus.scrape":
		return &prometheusScrape{}
	case "prometheus.relabel":
		return &prometheusRelabel{}
	case "prometheus.remote_write":
		return &prometheusRemoteWrite{}
	case "loki.source.kubernetes":
		return &lokiSourceKubernetes{}
	case "loki.write":
		return &lokiWrite{}
	case "logging":
		return &logging{}
	default:
		return nil
	}
}

// block is a component with the place that it has in the file.
type block struct {
	ast  *ast.BlockStmt
	id   string
	body component
}

// at says where in the file an error is to be mended, if it does not say so itself.
func (b block) at(err error) error {
	var known diag.Diagnostics
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("%s: %s: %w", ast.StartPos(b.ast).Position(), b.id, err)
}

// load reads a configuration of Alloy and turns it into a plan.
func load(path string, text []byte) (*plan, error) {
	file, err := parser.ParseFile(path, text)
	if err != nil {
		return nil, err
	}
	blocks, err := blocksOf(file)
	if err != nil {
		return nil, err
	}
	scope := vm.NewScope(names(blocks))
	for _, block := range blocks {
		if err := vm.New(block.ast.Body).Evaluate(scope, block.body); err != nil {
			return nil, block.at(err)
		}
	}
	plan := &plan{logging: logging{Level: "info", Format: "logfmt"}}
	for _, block := range blocks {
		if err := block.body.build(block.id, plan); err != nil {
			return nil, block.at(err)
		}
	}
	return plan, nil
}

func blocksOf(file *ast.File) ([]block, error) {
	var blocks []block
	seen := map[string]bool{}
	for _, statement := range file.Body {
		found, ok := statement.(*ast.BlockStmt)
		if !ok {
			return nil, fmt.Errorf("%s: only blocks are known at this level", ast.StartPos(statement).Position())
		}
		name := found.GetBlockName()
		block := block{ast: found, id: name, body: newComponent(name)}
		if found.Label != "" {
			block.id += "." + found.Label
		}
		if block.body == nil {
			return nil, block.at(errors.New("this stand-in does not know the component"))
		}
		if labelled := found.Label != ""; labelled != (name != "logging") {
			return nil, block.at(errors.New("every component has a label, and logging none"))
		}
		if seen[block.id] {
			return nil, block.at(errors.New("is there twice"))
		}
		seen[block.id] = true
		blocks = append(blocks, block)
	}
	return blocks, nil
}

// names are what an expression can refer to beside the functions of the language: NAME.OF.COMPONENT.LABEL.EXPORT.
func names(blocks []block) map[string]any {
	root := map[string]any{}
	for _, block := range blocks {
		if block.ast.Label == "" {
			continue
		}
		inner := root
		for _, name := range append(block.ast.Name, block.ast.Label) {
			next, ok := inner[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				inner[name] = next
			}
			inner = next
		}
		for name, value := range block.body.exports() {
			inner[name] = value
		}
	}
	return root
}
