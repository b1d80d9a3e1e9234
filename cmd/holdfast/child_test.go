package main

const childVariable = "HOLDFAST_TEST_CHILD"

func beChild([]string) int { return 0 }
