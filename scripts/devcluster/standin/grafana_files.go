package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// account is the admin as the database knows him: the environment's password counts when the database is made, and
// never again, just as in Grafana.
type account struct {
	User, Salt, Hash string
}

func openAccount(data string) (account, error) {
	path := filepath.Join(data, "grafana.db")
	var kept account
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &kept)
		return kept, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	kept = account{User: setting("GF_SECURITY_ADMIN_USER", "admin"), Salt: rand.Text()}
	kept.Hash = kept.digest(setting("GF_SECURITY_ADMIN_PASSWORD", "admin"))
	if content, err = json.Marshal(kept); err != nil {
		return kept, err
	}
	return kept, os.WriteFile(path, content, 0o600)
}

func (a account) matches(user, password string) bool {
	return user == a.User && a.digest(password) == a.Hash
}

func (a account) digest(password string) string {
	sum := sha256.Sum256([]byte(a.Salt + password))
	return hex.EncodeToString(sum[:])
}

type datasource struct {
	ID        int            `yaml:"-" json:"id"`
	UID       string         `yaml:"uid" json:"uid"`
	OrgID     int            `yaml:"-" json:"orgId"`
	Name      string         `yaml:"name" json:"name"`
	Type      string         `yaml:"type" json:"type"`
	Access    string         `yaml:"access" json:"access"`
	URL       string         `yaml:"url" json:"url"`
	IsDefault bool           `yaml:"isDefault" json:"isDefault"`
	JSONData  map[string]any `yaml:"jsonData" json:"jsonData"`
	Editable  bool           `yaml:"editable" json:"-"`
	ReadOnly  bool           `yaml:"-" json:"readOnly"`
}

// setting is what jsonData says under a name, or nothing.
func (d *datasource) setting(name string) string {
	value, _ := d.JSONData[name].(string)
	return value
}

// readDatasources reads every file of the datasources folder; two defaults are an error, as in Grafana.
func readDatasources(provisioning string) ([]datasource, error) {
	all := []datasource{}
	defaults := 0
	err := eachFile(filepath.Join(provisioning, "datasources"), "*.y*ml", func(path string) error {
		var file struct{ Datasources []datasource }
		if err := readYAML(path, &file); err != nil {
			return err
		}
		for _, datasource := range file.Datasources {
			if datasource.Name == "" || datasource.Type == "" {
				return fmt.Errorf("%s: a data source needs a name and a type", path)
			}
			if datasource.IsDefault {
				defaults++
			}
			if datasource.UID == "" {
				sum := sha256.Sum256([]byte(datasource.Name))
				datasource.UID = strings.ToUpper(fmt.Sprintf("P%x", sum[:8]))
			}
			datasource.ID, datasource.OrgID = len(all)+1, 1
			datasource.ReadOnly = !datasource.Editable
			all = append(all, datasource)
		}
		return nil
	})
	if err == nil && defaults > 1 {
		err = errors.New("only one data source may be the default")
	}
	return all, err
}

// provider names a folder of dashboards.
type provider struct {
	Name    string
	Options struct{ Path string }
}

func readProviders(provisioning string) ([]provider, error) {
	var all []provider
	err := eachFile(filepath.Join(provisioning, "dashboards"), "*.y*ml", func(path string) error {
		var file struct{ Providers []provider }
		if err := readYAML(path, &file); err != nil {
			return err
		}
		all = append(all, file.Providers...)
		return nil
	})
	return all, err
}

// readDashboards reads the providers' folders as they are now: Grafana, too, notices a new file without a restart.
func readDashboards(providers []provider) ([]map[string]any, error) {
	var all []map[string]any
	for _, provider := range providers {
		err := eachFile(provider.Options.Path, "*.json", func(path string) error {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var dashboard map[string]any
			if err := json.Unmarshal(content, &dashboard); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			all = append(all, dashboard)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// eachFile calls visit for the files of a folder that match; no folder, no files.
func eachFile(folder, pattern string, visit func(path string) error) error {
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := visit(path); err != nil {
			return err
		}
	}
	return nil
}
