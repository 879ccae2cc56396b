// Opens the encrypted files that it reads, a path each line, with the original's library, one after another in this process, and
// prints each plaintext behind its length, or -1 where it fails.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/decrypt"
	"github.com/getsops/sops/v3/logging"
	"github.com/sirupsen/logrus"
)

func main() {
	logging.SetLevel(logrus.PanicLevel)
	logrus.SetOutput(io.Discard)
	out := bufio.NewWriter(os.Stdout)
	paths := bufio.NewScanner(os.Stdin)
	for paths.Scan() {
		plain, err := open(paths.Text())
		if err != nil {
			fmt.Fprintln(os.Stderr, paths.Text()+":", err)
			fmt.Fprintln(out, -1)
			continue
		}
		fmt.Fprintln(out, len(plain))
		out.Write(plain)
	}
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}

func open(path string) ([]byte, error) {
	sealed, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decrypt.DataWithFormat(sealed, formats.FormatForPath(path))
}
