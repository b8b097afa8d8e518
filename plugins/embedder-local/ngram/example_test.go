package ngram_test

import (
	"fmt"

	"github.com/zerostate/zerostate/plugins/embedder-local/ngram"
)

func Example() {
	model, err := ngram.New(ngram.DefaultConfig())
	if err != nil {
		panic(err)
	}
	cosine := func(query, document string) float64 {
		q, errQ := model.Embed(query, ngram.Query)
		d, errD := model.Embed(document, ngram.Document)
		if errQ != nil || errD != nil {
			panic("not UTF-8")
		}
		sum := 0.0
		for i := range q {
			sum += float64(q[i]) * float64(d[i])
		}
		return sum
	}
	near := cosine("turn this document into a web page", "Markdown to HTML")
	far := cosine("turn this document into a web page", "Weather forecasts")
	fmt.Println(near > 0.2, far < 0.1)
	// Output: true true
}
