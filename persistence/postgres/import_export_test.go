package postgres

// SmallImports has an import write few rows at once.
func SmallImports(c Config) Config {
	c.importRows = 7
	return c
}
