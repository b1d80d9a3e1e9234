package shell

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// owner is the user whose processes are.
type owner struct{ uid, gid int }

// ownerOf finds a user by name, or by numbers UID:GID; nil: it is the adapter's own.
func ownerOf(name string) (*owner, error) {
	own := os.Geteuid()
	if name == "" {
		if own == 0 {
			return nil, errors.New("the adapter runs as root: give processes a user of their own, or say root if they should be root's")
		}
		return nil, nil //nolint:nilnil // nil says that it is the adapter's own
	}
	o := &owner{}
	uid, gid, isNumbers := strings.Cut(name, ":")
	if !isNumbers {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("the user of processes: %w", err)
		}
		uid, gid = u.Uid, u.Gid
	}
	var err, gidErr error
	if o.uid, err = number(uid); err == nil {
		o.gid, gidErr = number(gid)
	}
	switch {
	case errors.Join(err, gidErr) != nil:
		return nil, fmt.Errorf("the user of processes, %q, is no name and no numbers UID:GID", name)
	case o.uid == own && o.gid == os.Getegid():
		return nil, nil //nolint:nilnil // the same
	case own != 0:
		return nil, fmt.Errorf("processes can be the user's %s only if the adapter runs as root", name)
	}
	return o, nil
}

// number reads the number of a user or a group.
func number(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err
}

// give gives a folder to the user. The adapter must write nothing there any more: other processes of the user can lay links.
func (o *owner) give(folder string) error {
	if o == nil {
		return nil
	}
	if err := os.Lchown(folder, o.uid, o.gid); err != nil {
		return fmt.Errorf("give the folder of the process to its user: %w", err)
	}
	return nil
}

// credential has a process be the user's, without any other group.
func (o *owner) credential() *syscall.Credential {
	if o == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)} //nolint:gosec // neither is negative
}
