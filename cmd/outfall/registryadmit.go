package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"outfall/telemetry"
)

// maxPasswordFile bounds the file of a password, in bytes: a PW has six characters (HJ 212-2017 table 3), and 64 are taken.
const maxPasswordFile = 1 << 10

func newRegistryAdmit(a *app) *cobra.Command {
	var form, tail, pwFile string
	var data dataOptions
	d := telemetry.Device{}
	cmd := &cobra.Command{
		Use:   "admit MN",
		Short: "Let in a device that is not in the registry",
		Long: `Add one device to the registry, as "registry import" does with a file. Its next frame is accepted; what was refused before stays in the
topic rejects, and devices send again what was not acknowledged.

The password is read from a file, never from the command line. Without one the device's password is not checked.`,
		Example: `  outfall registry quarantine
  outfall registry admit 52010000000077 --outlet north-gate --enterprise 'some plant' --region 'a/b/c' --medium water --pw-file pw.txt
  outfall registry admit 52010000000078 --outlet stack-2 --enterprise 'some plant' --region 'a/b/c' --medium gas --pw-file pw.txt \
    --networks 10.1.0.0/16,10.2.0.0/16 --cert-name stack-2.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d.MN = args[0]
			if d.Outlet == "" || d.Enterprise == "" || d.Region == "" || d.Medium == "" {
				return usagef("want --outlet, --enterprise, --region and --medium: an alarm of the device needs them")
			}
			if tail != "strict" && tail != "tolerant" {
				return usagef("--tail: %q is neither strict nor tolerant", tail)
			}
			d.TolerantTail = tail == "tolerant"
			var err error
			if pwFile != "" {
				if d.PW, err = readPassword(pwFile); err != nil {
					return err
				}
			}
			if err := d.Validate(); err != nil {
				return usagef("admit: %w", err)
			}
			return changeRegistry(cmd.Context(), a, &data, form, d.MN, func(have map[string]telemetry.Device) (telemetry.Device, error) {
				if _, known := have[d.MN]; known {
					return d, usagef("%s is in the registry already: change it with \"outfall registry import\"", d.MN)
				}
				for _, other := range have {
					if other.Outlet == d.Outlet {
						return d, usagef("--outlet: %q is that of %s", d.Outlet, other.MN)
					}
				}
				return d, nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&d.Outlet, "outlet", "", "short id of the outlet, unique")
	f.StringVar(&d.OutletName, "outlet-name", "", "for people")
	f.StringVar(&d.Enterprise, "enterprise", "", "for people")
	f.StringVar(&d.Region, "region", "", "province/city/county")
	f.StringVar(&d.Medium, "medium", "", "water or gas")
	f.IntVar(&d.MinuteInterval, "minute-interval", 10, "minutes between minute records: a divisor of 60 up to 30")
	f.IntVar(&d.RealtimeInterval, "realtime-interval", 0, "seconds between real-time records, 5..3600; 0: none are sent")
	f.IntVar(&d.OfflineAfter, "offline-after", 1800, "seconds without a frame until the device is offline, 60..86400")
	f.StringVar(&tail, "tail", "strict", "strict, or tolerant: frames may end in LF, CR or nothing")
	f.StringVar(&d.CRC, "crc", "", "modbus, modbus-swapped, ccitt or none; empty: the standard's")
	f.StringVar(&d.Edition, "edition", "", "2005, 2017, 2025 or surface-water; empty: as its frames say")
	f.StringVar(&pwFile, "pw-file", "", "file that holds the device's password")
	f.StringSliceVar(&d.Networks, "networks", nil, "address prefixes that it may connect from, as 10.1.0.0/16,2001:db8::/32; none: any address")
	f.StringVar(&d.CertName, "cert-name", "", "DNS name or common name of the TLS client certificate that it must show; empty: none")
	mustComplete(cmd, "medium", "water", "gas")
	mustComplete(cmd, "tail", "strict", "tolerant")
	mustComplete(cmd, "crc", "modbus", "modbus-swapped", "ccitt", "none")
	mustComplete(cmd, "edition", "2005", "2017", "2025", "surface-water")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

func newRegistrySetPassword(a *app) *cobra.Command {
	var form, pwFile string
	var next, commit bool
	var data dataOptions
	cmd := &cobra.Command{
		Use:   "set-password MN",
		Short: "Change the password of a device",
		Long: `Change the password that a device's frames must carry. It is read from a file, never from the command line.

A device in operation is moved in three steps, so that no frame of it is refused meanwhile: --next makes a second password valid beside
the present one; then the device is given that password, on site or by command 1072; --commit makes it the only one.`,
		Example: `  outfall registry set-password 520181A00170C67EF96ED8C5 --pw-file new.txt --next
  outfall registry set-password 520181A00170C67EF96ED8C5 --commit`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mn := args[0]
			switch {
			case commit && (next || pwFile != ""):
				return usagef("--commit takes the password that --next has set: leave --next and --pw-file out")
			case !commit && pwFile == "":
				return usagef("want --pw-file FILE, or --commit")
			}
			pw := ""
			if !commit {
				var err error
				if pw, err = readPassword(pwFile); err != nil {
					return err
				}
			}
			return changeRegistry(cmd.Context(), a, &data, form, mn, func(have map[string]telemetry.Device) (telemetry.Device, error) {
				d, known := have[mn]
				switch {
				case !known:
					return d, usagef("%s is not in the registry", mn)
				case commit && d.PWNext == "":
					return d, usagef("%s has no next password: set it with --next", mn)
				case next && d.PW == "":
					return d, usagef("%s has no password, any is accepted: set one without --next", mn)
				case commit:
					d.PW, d.PWNext = d.PWNext, ""
				case next:
					d.PWNext = pw
				default:
					d.PW = pw
				}
				if err := d.Validate(); err != nil {
					return d, usagef("%s: %w", mn, err)
				}
				return d, nil
			})
		},
	}
	cmd.Flags().StringVar(&pwFile, "pw-file", "", "file that holds the password")
	cmd.Flags().BoolVar(&next, "next", false, "accept it beside the present one")
	cmd.Flags().BoolVar(&commit, "commit", false, "make the next password the only one")
	outputFlag(cmd, &form)
	data.flags(cmd)
	return cmd
}

// changeRegistry writes the device mn as change makes it from what the registry has, and prints it.
func changeRegistry(ctx context.Context, a *app, data *dataOptions, form, mn string, change func(map[string]telemetry.Device) (telemetry.Device, error)) error {
	p, err := newPrinter(a.stdout, form)
	if err != nil {
		return err
	}
	access, err := data.open(ctx, a)
	if err != nil {
		return err
	}
	defer access.close()
	have, err := readRegistry(ctx, access.cluster)
	if err != nil {
		return err
	}
	d, err := change(have)
	if err != nil {
		return err
	}
	res, err := writeDevices(ctx, access.cluster, have, []telemetry.Device{d})
	if err != nil {
		return err
	}
	row := newDeviceRow(&d)
	what := "unchanged"
	switch {
	case res.Added > 0:
		what = "admitted"
	case res.Changed > 0:
		what = "changed"
	}
	if err := p.row(row, fmt.Sprintf("%s %s, outlet %s; password checked: %s", mn, what, d.Outlet, row.passwords())); err != nil {
		return err
	}
	return p.flush()
}

// readPassword reads a password's file, without the line's end.
func readPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxPasswordFile {
		err = errors.New("is no password: larger than 1 KiB")
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		err = errors.New("is empty")
	}
	if err != nil {
		return "", usagef("--pw-file: %w", err)
	}
	return string(bytes.TrimRight(b, "\r\n")), nil
}
