// The search's order, which Sphinx puts into language_data.js. Pages first, by how much they are about the words (BM25 over
// the counts that tools/found.py adds to the index); of each page one entry, and headings that say it. The reference's names
// come after them, unless one is typed in full. Sphinx's own score decides between equals.
{
  const REFERENCE = /^(book\/(api|ledger|glossary|execution|bibliography|figures-and-tables|index)\b|genindex|py-modindex)/;
  const SATURATION = 2, BY_LENGTH = 0.4;
  const find = Search._performSearch;

  const about = (doc, words) => {
    const { counts, lengths, docnames, terms, titleterms } = Search._index;
    const page = docnames.indexOf(doc), mean = lengths.reduce((a, b) => a + b, 0) / lengths.length;
    const having = (table, word) => [].concat(Object.hasOwn(table, word) ? table[word] : []);
    let sum = 0;
    for (const word of words) {
      const pages = new Set([...having(terms, word), ...having(titleterms, word)]);
      if (!pages.has(page)) continue;
      const times = (Object.hasOwn(counts, word) && counts[word][page]) || 1;
      const rare = Math.log(1 + (docnames.length - pages.size + 0.5) / (pages.size + 0.5));
      sum += (rare * times) / (times + SATURATION * (1 - BY_LENGTH + (BY_LENGTH * lengths[page]) / mean));
    }
    return REFERENCE.test(doc) ? sum / 2 : sum;
  };

  Search._performSearch = (query, words, ...rest) => {
    const typed = query.toLowerCase().trim();
    const found = find(query, words, ...rest).map((result) => {
      const [doc, title, , described, score] = result;
      const named = described && title.toLowerCase() === typed;
      return { result, key: [named ? 2 : described ? 0 : 1, described ? 0 : about(doc, words), score] };
    });
    found.sort((a, b) => a.key[0] - b.key[0] || a.key[1] - b.key[1] || a.key[2] - b.key[2]); // the best is last
    const pages = new Set();
    const once = ({ result: [doc, , , described] }) => described || (!pages.has(doc) && pages.add(doc));
    return found.reverse().filter(once).reverse().map(({ result }) => result);
  };

  // A formula is in the page twice, drawn and as TeX; a quotation from the page needs it once.
  const text = Search.htmlToText;
  Search.htmlToText = (markup, anchor) => text(markup.replace(/<annotation\b[^>]*>[^]*?<\/annotation>/g, ""), anchor);
}
