// Audits a node's logs with other people's implementations: golang.org/x/mod/sumdb, transparency-dev, and torchwood.
// It takes nothing from Railgate but what the node answers over HTTP.
//
//	go run . -node URL [-state DIR] [-witness URL] [-vkeys FILE]
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type stream struct {
	ChainID string `json:"chain_id"`
	Size    int64  `json:"size"`
	Vkey    string `json:"vkey"`
}

type auditor struct {
	node, witness, state string
	checks               int
}

func main() {
	log.SetFlags(0)
	node := flag.String("node", "http://127.0.0.1:8181", "the node to audit")
	witness := flag.String("witness", "", "a witness that cosigns its streams")
	state := flag.String("state", "", "where checkpoints are kept, to compare with the next time")
	vkeys := flag.String("vkeys", "", "a file of keys, one a line: no stream may have another")
	flag.Parse()
	a := &auditor{node: *node, witness: *witness, state: *state}
	streams := a.streams()
	if *vkeys != "" {
		pinned, err := os.ReadFile(*vkeys)
		must(err, "reading keys")
		for _, s := range streams {
			a.check(strings.Contains("\n"+string(pinned)+"\n", "\n"+s.Vkey+"\n"), "the key of %s is pinned", s.ChainID)
		}
	}
	for _, s := range streams {
		a.audit(s)
	}
	fmt.Printf("%d streams, %d checks, all hold\n", len(streams), a.checks)
}

func (a *auditor) streams() []stream {
	var list struct{ Items []stream }
	must(json.Unmarshal(a.get("/v1/streams"), &list), "streams")
	if len(list.Items) == 0 {
		log.Fatal("the node has no streams")
	}
	return list.Items
}

func (a *auditor) audit(s stream) {
	base := "/v1/streams/" + url.PathEscape(s.ChainID)
	verifier, err := note.NewVerifier(s.Vkey)
	must(err, "vkey of "+s.ChainID)
	signed := a.get(base + "/checkpoint")
	head := a.checkpoint(s, verifier, signed)

	ctx := context.Background()
	fetcher, err := torchwood.NewTileFetcher(a.node + base)
	must(err, "tile fetcher")
	hashes := torchwood.TileHashReaderWithContext(ctx, head.Tree, fetcher)
	entries := a.entries(ctx, s, head, fetcher)
	a.inclusion(base, head, hashes, entries)
	a.consistency(base, head, hashes)
	a.event(s, verifier, entries)
	a.compareWithBefore(s, verifier, head, hashes)
	if a.witness != "" {
		a.cosignature(s, verifier, signed, head, hashes)
	}
	if a.state != "" {
		must(os.WriteFile(a.stateFile(s), signed, 0o644), "keeping the checkpoint")
	}
}

// checkpoint: two implementations open the note and agree on what it says.
func (a *auditor) checkpoint(s stream, verifier note.Verifier, signed []byte) torchwood.Checkpoint {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	must(err, "opening the checkpoint of "+s.ChainID)
	head, err := torchwood.ParseCheckpoint(opened.Text)
	must(err, "parsing the checkpoint of "+s.ChainID)
	other, rest, _, err := flog.ParseCheckpoint(signed, head.Origin, verifier)
	must(err, "parsing the checkpoint of "+s.ChainID+" (transparency-dev)")
	a.check(len(rest) == 0 && int64(other.Size) == head.N && bytes.Equal(other.Hash, head.Hash[:]), "both read the same checkpoint of %s", s.ChainID)
	a.check(verifier.Name() == head.Origin && strings.HasSuffix(head.Origin, "/"+s.ChainID), "%s is the origin and the key's name", head.Origin)
	return head
}

// entries: torchwood fetches every tile and bundle and checks each entry against the tree.
func (a *auditor) entries(ctx context.Context, s stream, head torchwood.Checkpoint, fetcher *torchwood.TileFetcher) [][]byte {
	client, err := torchwood.NewClient(fetcher)
	must(err, "client")
	var entries [][]byte
	for i, entry := range client.AllEntries(ctx, head.Tree, 0) {
		if i != int64(len(entries)) || strings.Count(string(entry), ".") != 2 {
			log.Fatalf("entry %d of %s is no record", i, s.ChainID)
		}
		entries = append(entries, bytes.Clone(entry))
	}
	must(client.Err(), "entries of "+s.ChainID)
	a.check(int64(len(entries)) == head.N, "%s has all its %d entries", s.ChainID, head.N)
	return entries
}

func (a *auditor) inclusion(base string, head torchwood.Checkpoint, hashes tlog.HashReader, entries [][]byte) {
	for _, index := range sample(head.N) {
		for _, size := range []int64{index + 1, head.N} {
			root, err := tlog.TreeHash(size, hashes)
			must(err, "root")
			p := a.proof(base, "index", index, "size", size)
			leaf := tlog.RecordHash(entries[index])
			a.check(tlog.CheckRecord(p.record(), size, root, index, leaf) == nil, "record %d in %d (sumdb)", index, size)
			a.check(proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), uint64(size), leaf[:], p, root[:]) == nil, "record %d in %d (transparency-dev)", index, size)
			other := tlog.RecordHash([]byte("another"))
			a.check(tlog.CheckRecord(p.record(), size, root, index, other) != nil, "no other record %d in %d", index, size)
		}
	}
}

func (a *auditor) consistency(base string, head torchwood.Checkpoint, hashes tlog.HashReader) {
	for _, last := range sample(head.N) {
		from := last + 1
		root, err := tlog.TreeHash(from, hashes)
		must(err, "root")
		a.consistent(a.proof(base, "from", from, "to", head.N), from, root, head.N, head.Hash)
	}
}

func (a *auditor) consistent(p hashList, from int64, fromRoot tlog.Hash, to int64, toRoot tlog.Hash) {
	a.check(tlog.CheckTree(p.tree(), to, toRoot, from, fromRoot) == nil, "%d continues %d (sumdb)", to, from)
	a.check(proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(from), uint64(to), p, fromRoot[:], toRoot[:]) == nil, "%d continues %d (transparency-dev)", to, from)
	wrong := fromRoot
	wrong[0] ^= 1
	a.check(tlog.CheckTree(p.tree(), to, toRoot, from, wrong) != nil, "%d continues no other %d", to, from)
}

// event: a receipt's own proof, as whoever was given it checks it.
func (a *auditor) event(s stream, verifier note.Verifier, entries [][]byte) {
	tenant := s.ChainID[:strings.LastIndex(s.ChainID, "/")]
	var list struct {
		Items []struct {
			ID       string
			Sequence int64
			ChainID  string `json:"chain_id"`
		}
	}
	must(json.Unmarshal(a.get("/v1/events?limit=3&tenant_id="+url.QueryEscape(tenant)), &list), "events")
	for _, item := range list.Items {
		var found struct {
			Record    string
			Inclusion struct {
				Index, Size int64
				Hashes      hashList
				Checkpoint  string
			}
		}
		must(json.Unmarshal(a.get("/v1/events/"+item.ID), &found), "event")
		opened, err := note.Open([]byte(found.Inclusion.Checkpoint), note.VerifierList(verifier))
		must(err, "the event's checkpoint")
		head, err := torchwood.ParseCheckpoint(opened.Text)
		must(err, "the event's checkpoint")
		in := found.Inclusion
		ok := in.Index == item.Sequence && in.Size == head.N && tlog.CheckRecord(in.Hashes.record(), head.N, head.Hash, in.Index, tlog.RecordHash([]byte(found.Record))) == nil
		a.check(ok, "event %s comes with proof of its place", item.ID)
	}
}

// compareWithBefore: what an auditor saw the last time is still there.
func (a *auditor) compareWithBefore(s stream, verifier note.Verifier, head torchwood.Checkpoint, hashes tlog.HashReader) {
	if a.state == "" {
		return
	}
	signed, err := os.ReadFile(a.stateFile(s))
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	must(err, "reading the last checkpoint")
	before := a.checkpoint(s, verifier, signed)
	if before.N == 0 || before.N > head.N {
		log.Fatalf("%s had %d entries and has %d", s.ChainID, before.N, head.N)
	}
	made, err := tlog.ProveTree(head.N, before.N, hashes)
	must(err, "proving from tiles")
	a.check(tlog.CheckTree(made, head.N, head.Hash, before.N, before.Hash) == nil, "%s at %d continues what was seen at %d, by tiles alone", s.ChainID, head.N, before.N)
	a.consistent(a.proof("/v1/streams/"+url.PathEscape(s.ChainID), "from", before.N, "to", head.N), before.N, before.Hash, head.N, head.Hash)
}

// cosignature: the proof is made by sumdb from tiles; the answer is opened by two implementations.
func (a *auditor) cosignature(s stream, verifier note.Verifier, signed []byte, head torchwood.Checkpoint, hashes tlog.HashReader) {
	vkey := strings.TrimSpace(string(a.fetch(http.MethodGet, a.witness+"/v1/witness/vkey", nil, 200)))
	status, body := a.submit(0, nil, signed)
	old := int64(0)
	if status == http.StatusConflict {
		n, err := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
		must(err, "the witness's size")
		made, err := tlog.ProveTree(head.N, n, hashes)
		must(err, "proving to the witness")
		old = n
		status, body = a.submit(old, made, signed)
	}
	a.check(status == http.StatusOK, "the witness cosigns %s from %d to %d", s.ChainID, old, head.N)
	cosigned := append(bytes.Clone(signed), body...)
	one, err := torchwood.NewCosignatureVerifier(vkey)
	must(err, "the witness's key (torchwood)")
	opened, err := note.Open(cosigned, note.VerifierList(verifier, one))
	must(err, "the cosigned checkpoint (torchwood)")
	a.check(len(opened.Sigs) == 2, "log and witness have signed %s", s.ChainID)
	two, err := fnote.NewVerifierForCosignatureV1(vkey)
	must(err, "the witness's key (transparency-dev)")
	_, _, n, err := flog.ParseCheckpoint(cosigned, head.Origin, verifier, two)
	must(err, "the cosigned checkpoint (transparency-dev)")
	a.check(len(n.Sigs) == 2, "log and witness have signed %s (transparency-dev)", s.ChainID)
	served := a.fetch(http.MethodGet, fmt.Sprintf("%s/v1/witness/%x/checkpoint", a.witness, sha256.Sum256([]byte(head.Origin))), nil, 200)
	a.check(bytes.Equal(served, cosigned), "the witness serves what it cosigned of %s", s.ChainID)
}

func (a *auditor) submit(old int64, p tlog.TreeProof, signed []byte) (int, []byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", old)
	for _, h := range p {
		fmt.Fprintf(&b, "%s\n", h)
	}
	fmt.Fprintf(&b, "\n%s", signed)
	response, err := http.Post(a.witness+"/v1/witness/add-checkpoint", "text/plain", strings.NewReader(b.String()))
	must(err, "add-checkpoint")
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	must(err, "add-checkpoint")
	return response.StatusCode, body
}

type hashList [][]byte

func (l hashList) hash(i int) (h tlog.Hash) {
	copy(h[:], l[i])
	return h
}

func (l hashList) record() (p tlog.RecordProof) {
	for i := range l {
		p = append(p, l.hash(i))
	}
	return p
}

func (l hashList) tree() tlog.TreeProof { return tlog.TreeProof(l.record()) }

func (a *auditor) proof(base, one string, i int64, two string, j int64) hashList {
	var answer struct{ Hashes hashList }
	must(json.Unmarshal(a.get(fmt.Sprintf("%s/proof?%s=%d&%s=%d", base, one, i, two, j)), &answer), "proof")
	return answer.Hashes
}

// sample: places where trees differ in shape.
func sample(n int64) (places []int64) {
	seen := map[int64]bool{}
	for _, i := range []int64{0, 1, 2, 3, 7, 254, 255, 256, 257, 511, 512, n / 3, n / 2, n - 2, n - 1} {
		if i >= 0 && i < n && !seen[i] {
			seen[i] = true
			places = append(places, i)
		}
	}
	return places
}

func (a *auditor) stateFile(s stream) string {
	return filepath.Join(a.state, url.PathEscape(s.ChainID)+".checkpoint")
}

func (a *auditor) get(path string) []byte { return a.fetch(http.MethodGet, a.node+path, nil, 200) }

func (a *auditor) fetch(method, address string, body io.Reader, want int) []byte {
	request, err := http.NewRequest(method, address, body)
	must(err, address)
	response, err := http.DefaultClient.Do(request)
	must(err, address)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	must(err, address)
	if response.StatusCode != want {
		log.Fatalf("%s answers %d: %s", address, response.StatusCode, data)
	}
	return data
}

func (a *auditor) check(holds bool, what string, args ...any) {
	a.checks++
	if !holds {
		log.Fatalf("does not hold: "+what, args...)
	}
}

func must(err error, what string) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}
