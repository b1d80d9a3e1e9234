package main

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// sizeUnits are what a size may be told in, by lower case.
var sizeUnits = map[string]int64{ //nolint:gochecknoglobals // a table
	"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

var sizeForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)$`)

// parseSize reads a number of bytes, such as 4194304, 4MiB, 1.5 GiB or 10MB.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.TrimSpace(text))
	unit, known := int64(0), false
	if m != nil {
		unit, known = sizeUnits[strings.ToLower(m[2])]
	}
	if !known {
		return 0, fmt.Errorf("%q is no size: give a number of bytes, or a number with a unit, such as 64MiB (KiB, MiB, GiB, TiB; kB, MB, GB, TB)",
			text)
	}
	n, ok := new(big.Rat).SetString(m[1])
	if !ok {
		return 0, fmt.Errorf("%q is no size", text) // can't be: it has the form of a number
	}
	n.Mul(n, new(big.Rat).SetInt64(unit))
	if !n.IsInt() {
		return 0, fmt.Errorf("%q is no whole number of bytes", text)
	}
	if !n.Num().IsInt64() {
		return 0, fmt.Errorf("%q is more than %s", text, textSize(math.MaxInt64))
	}
	return n.Num().Int64(), nil
}

// textSize tells a size in the largest unit that leaves a whole number.
func textSize(n int64) string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if size := sizeUnits[strings.ToLower(unit)]; n != 0 && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// sizeValue is a flag for a size.
type sizeValue[T int | int64] struct {
	size *T
	// none: -1 may be given, and stands for no size at all.
	none bool
}

func (v sizeValue[T]) Set(text string) error {
	if v.none && text == "-1" {
		*v.size = -1
		return nil
	}
	n, err := parseSize(text)
	if err != nil {
		return err
	}
	if *v.size = T(n); int64(*v.size) != n {
		return fmt.Errorf("%q is more than %s", text, textSize(math.MaxInt))
	}
	return nil
}

func (v sizeValue[T]) String() string {
	if v.size == nil {
		return "0" // of no flag: pflag asks for the zero value's
	}
	return textSize(int64(*v.size))
}

func (sizeValue[T]) Type() string { return "size" }

// sizeVar adds a flag for a size; what size holds is its default.
func sizeVar[T int | int64](f *pflag.FlagSet, size *T, name, usage string) {
	f.Var(sizeValue[T]{size: size}, name, usage)
}
