package stage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	// CPU is its time on the CPUs, in user and system mode.
	CPU time.Duration
	// RSS is its memory now, PeakRSS the most that it had, in bytes.
	RSS, PeakRSS int64
}

// Usage tells what the process as it runs now has used. It reads /proc, so it fails elsewhere than on Linux.
func (p *Process) Usage() (Usage, error) {
	pid := p.PID()
	if pid == 0 {
		return Usage{}, fmt.Errorf("usage of %s: it doesn't run", p.name)
	}
	u, err := usageOf(strconv.Itoa(pid))
	if err != nil {
		return Usage{}, fmt.Errorf("usage of %s: %w", p.name, err)
	}
	return u, nil
}

// OwnUsage tells what this process has used.
func OwnUsage() (Usage, error) { return usageOf("self") }

func usageOf(pid string) (Usage, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	if u.CPU, err = parseStat(stat); err != nil {
		return Usage{}, err
	}
	if u.RSS, err = parseStatus(status, "VmRSS:"); err != nil {
		return Usage{}, err
	}
	u.PeakRSS, err = parseStatus(status, "VmHWM:")
	return u, err
}

// tick is the unit of times in /proc: every Linux that Go runs on has 100 a second.
const tick = 10 * time.Millisecond

// parseStat reads user and system time from /proc/PID/stat. They are the 14th and 15th field; the second one, the
// program's name in parentheses, may hold anything.
func parseStat(b []byte) (time.Duration, error) {
	i := bytes.LastIndexByte(b, ')')
	fields := bytes.Fields(b[i+1:])
	if i < 0 || len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat: %w", errForm)
	}
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/PID/stat: %w", errForm)
	}
	return time.Duration(user+system) * tick, nil
}

// parseStatus reads a size from /proc/PID/status, in bytes.
func parseStatus(b []byte, name string) (int64, error) {
	for line := range bytes.Lines(b) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || string(fields[0]) != name || string(fields[2]) != "kB" {
			continue
		}
		n, err := strconv.ParseInt(string(fields[1]), 10, 64)
		if err != nil {
			break
		}
		return n << 10, nil
	}
	return 0, fmt.Errorf("/proc/PID/status: %s: %w", name, errForm)
}

var errForm = errors.New("is not of the form that is known")

// FolderSize returns how many bytes were written to the files below a folder. Space that a file has reserved doesn't count.
// Files may come and go meanwhile.
func FolderSize(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n, err := written(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		sum += n
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return sum, nil
}

// The ways to seek that tell what was written, see lseek(2).
const (
	seekData = 3
	seekHole = 4
)

// written returns how many bytes of a file are not holes.
func written(name string) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // only read
	var sum, end int64
	for {
		begin, err := f.Seek(end, seekData)
		if errors.Is(err, syscall.ENXIO) { // no more
			return sum, nil
		}
		if err != nil {
			return 0, err //nolint:wrapcheck // it names the file
		}
		if end, err = f.Seek(begin, seekHole); err != nil {
			return 0, err //nolint:wrapcheck // it names the file
		}
		sum += end - begin
	}
}
