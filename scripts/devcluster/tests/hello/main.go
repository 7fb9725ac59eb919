// Command hello is what the cache's own tests build: the least that is a program.
package main

func main() { println("hello") }
