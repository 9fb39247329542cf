//go:build tools

// Package main names the program that this module pins.
package main

import _ "github.com/versity/versitygw/cmd/versitygw"
