import FoundationEssentials
import LinuxSystem
import Report
import SystemPackage
import TestSupport
import Testing
import YAML

@testable import Clusterfile

@Suite("Clusterfile: the schema")
struct SchemaTests {
    private static let docs = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .removingLastComponent()
        .appending("docs")

    private static func text(_ name: String) throws -> String {
        String(decoding: try readFile(docs.appending(name)), as: UTF8.self)
    }

    @Test("the published file is what the code gives; SEALER_WRITE_SCHEMA=1 writes it anew")
    func published() throws {
        if ProcessInfo.processInfo.environment["SEALER_WRITE_SCHEMA"] == "1" {
            let path = Self.docs.appending("clusterfile.schema.json")
            try Data(ClusterfileSchema.jsonSchema.utf8).write(to: URL(filePath: path.string))
        }
        #expect(try Self.text("clusterfile.schema.json") == ClusterfileSchema.jsonSchema)
    }

    /// Every field with its way, those of lists by their name alone.
    private static func fields(_ fields: [Field], _ way: String) -> [(way: String, field: Field)] {
        fields.flatMap { [("\(way).\($0.name)", $0)] + Self.fields($0.type.fields ?? [], "\(way).\($0.name)") }
    }

    private static let everyField = ClusterfileSchema.documents.flatMap { fields($0.fields, $0.kind.lowercased()) }

    @Test("every field is explained, with its fields, its default and its other names")
    func explained() throws {
        for (way, field) in Self.everyField {
            let page = try ClusterfileSchema.explain(way)
            #expect(page.contains("FIELD:    \(way) <\(field.type.words)>\n"))
            for part in [field.standard, field.example].compactMap(\.self) + field.names {
                #expect(page.contains(part))
            }
            for inner in field.type.fields ?? [] { #expect(page.contains("\n  \(inner.name) <")) }
        }
        #expect(
            try ClusterfileSchema.explain("cluster.spec.hosts.count") == """
                KIND:     Cluster
                VERSION:  sealer.io/v2
                FIELD:    cluster.spec.hosts.count <number, 1 to 100>

                DESCRIPTION:
                    How many containers there are.

                DEFAULT:
                    1

                ORIGIN:
                    this sealer

                """)
        #expect(
            try ClusterfileSchema.explain("Cluster.spec.hosts[0].ssh.password").contains(
                "FIELD:    cluster.spec.hosts.ssh.passwd"))
        #expect(try ClusterfileSchema.explain("").contains("\n  plugin "))
        #expect(try ClusterfileSchema.explain("plugin").contains("\n  spec <mapping> (must be there)\n"))
        let action = try ClusterfileSchema.explain("plugin.spec.action")
        for phase in Plugin.Phase.allCases { #expect(action.contains(phase.rawValue)) }
        let scope = try ClusterfileSchema.explain("plugin.spec.scope")
        #expect(scope.contains("the master that the cluster is changed through at phases of the cluster"))
    }

    @Test(
        "an unknown field is told with what is near",
        arguments: [
            ("cluster.spec.host", "there is no \"host\" in cluster.spec, did you mean hosts?"),
            ("clustr.spec", "there is no \"clustr\" in the kinds of a Clusterfile, did you mean cluster?"),
            ("cluster.spec.image.x", "there is no \"x\" in cluster.spec.image"),
            ("cluster.", "there is no \"\" in cluster"),
            ("kubeletconfiguration.maxPods", "the fields of KubeletConfiguration are not sealer's"),
        ])
    func unknown(path: String, expected: String) {
        do throws(Failure) {
            _ = try ClusterfileSchema.explain(path)
            Issue.record("\(path) was explained")
        } catch {
            #expect(error.kind == .notFound && error.what == expected && error.remedy != nil)
        }
    }

    @Test("every field that sealer takes is in the documentation, and so is every phase")
    func documented() throws {
        let page = try Self.text("clusterfile.md")
        for (way, field) in Self.everyField where field.isSupported {
            for name in field.names {
                #expect(page.contains("`\(name)`") || page.contains(".\(name)`"), "\(way): \(name)")
            }
            if let standard = field.standard, !standard.contains(" ") { #expect(page.contains(standard), "\(way)") }
        }
        for phase in Plugin.Phase.allCases { #expect(page.contains("`\(phase.rawValue)`")) }
        for (name, phase) in Plugin.Phase.olderNames {
            let row = page.split(separator: "\n").first { $0.hasPrefix("| `\(phase.rawValue)` |") }
            #expect(row?.contains("`\(name)`") == true, "\(name)")
        }
    }

    /// The YAML texts of the documentation that are whole Clusterfiles.
    private static func examples() throws -> [String] {
        try text("clusterfile.md").split(separator: "```yaml\n").dropFirst().compactMap { part in
            let text = part.prefix { _ in true }.split(separator: "```\n").first.map(String.init) ?? ""
            return text.contains("kind: Cluster\n") ? text : nil
        }
    }

    @Test("the documentation's examples are right")
    func examples() throws {
        let examples = try Self.examples()
        #expect(examples.count >= 4)
        for text in examples { #expect(mistakes(text) == [], "\(text)") }
    }

    // MARK: - The schema in the hands of another program

    private static let program = """
        import json, sys
        from jsonschema import Draft202012Validator
        schema = json.load(open(sys.argv[1]))
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        for case in json.load(open(sys.argv[2])):
            errors = list(validator.iter_errors(case))
            print("right" if not errors else "wrong " + errors[0].message.replace("\\n", " ")[:300])
        """

    private static func python(_ arguments: [String], in folder: FilePath) async throws -> String? {
        guard let python = Program("python3") else { return nil }
        let own = ProcessInfo.processInfo.environment
        return try await python.run(
            arguments, environment: own.filter { $0.key == "PATH" || $0.key == "HOME" }, in: folder,
            limit: .seconds(300))
    }

    private static func hasValidator() async throws -> Bool {
        let scratch = try Scratch()
        do {
            return try await python(
                ["-c", "import jsonschema.validators as v; v.Draft202012Validator"], in: scratch.path) != nil
        } catch is Failure {
            return false
        }
    }

    /// What the validator says of each document, a line for each.
    private func verdicts(_ documents: [YAMLNode]) async throws -> [String] {
        let scratch = try Scratch()
        let schema = scratch.path.appending("schema.json")
        let cases = scratch.path.appending("cases.json")
        try Data(ClusterfileSchema.jsonSchema.utf8).write(to: URL(filePath: schema.string))
        try Data(JSONText.text(of: YAMLNode(documents)).utf8).write(to: URL(filePath: cases.string))
        let output = try await Self.python(["-c", Self.program, schema.string, cases.string], in: scratch.path)
        return (output ?? "").split(separator: "\n").map(String.init)
    }

    private func documents(_ text: String) throws -> [YAMLNode] { try YAMLDocuments.parse(text, file: "test") }

    /// Fields with nothing behind them, which count as left out.
    private static let emptyFields = [
        file("env:\nssh:\nnetwork:\nregistry:\nprovider:\ncertSANs:\ndataRoot:"),
        file("env: null\nssh: {user: null, password: null, port: null, encrypted: null}\nnetwork: {podCIDR: null}"),
        file("container: {egress: null}\ncertificates: {leafYears: null}\nregistry: {localRegistry: {insecure: null}}"),
        file(
            hosts:
                "{ips: [192.168.0.2], roles: [master], provider: null, count: null, env: null, labels: null, taints: null, ssh: null}"
        ),
        shortFile("masters:\nnodes: {count: null}"),
    ]

    @Test("fields with nothing behind them are right for sealer, too")
    func empty() {
        for text in Self.emptyFields { #expect(mistakes(text) == [], "\(text)") }
    }

    @Test(
        "jsonschema takes what is right",
        .enabled("python3 with its package jsonschema is not installed") { try await hasValidator() })
    func right() async throws {
        var generator = ClusterGenerator(seed: 31)
        var texts = try (0..<100).map { _ in try generator.cluster().text } + Self.examples()
        texts.append(shortFile("masters: {count: \"3\"}\nnodes: {count: 2}", version: "sealer.aliyun.com/v1alpha1"))
        texts.append(file("env: {A: \"1\"}\nssh: {password: prompt, port: \"22\"}"))
        texts += Self.emptyFields
        let whole = try texts.flatMap(documents)
        let verdicts = try await verdicts(whole)
        #expect(verdicts.count == whole.count)
        for (document, verdict) in zip(whole, verdicts) where verdict != "right" {
            Issue.record("\(verdict)\n\(document.text)")
        }
    }

    @Test(
        "jsonschema refuses what is wrong, and so does sealer",
        .enabled("python3 with its package jsonschema is not installed") { try await hasValidator() })
    func wrong() async throws {
        let texts = [
            file("imag: x"), file("cmd_args: []"), file("env: [1]"), file("env: [\"1=a\"]"),
            file("network: {podCIDR: 10}"),
            file("network: {podCIDR: abc}"), file("container: {egress: \"true\"}"),
            file("certificates: {leafYears: 0}"),
            file("ssh: {port: 70000}"), file("ssh: {encrypted: true}"),
            file("registry: {localRegistry: {insecure: true}}"),
            file("dataRoot: data"), file("", name: "Demo"), file(hosts: "{ips: [192.168.0.2]}"),
            file(hosts: "{ips: [192.168.0.2], roles: [master], provider: cloud}"),
            file(hosts: "{ips: [host-1], roles: [master]}"), file(hosts: "{ips: [192.168.0.2], roles: [\"\"]}"),
            file(hosts: "{ips: [192.168.0.2], roles: [master], taints: [a]}"),
            file(hosts: "{ips: [192.168.0.2], roles: [master], labels: {a: \"b c\"}}"), shortFile("masters: 1"),
            shortFile("", version: "sealer.io/v3"), "kind: Cluster", "apiVersion: sealer.io/v2\nkind: Klaster",
        ]
        let others = [
            "apiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a}\nspec: {path: a}",
            "apiVersion: sealer.io/v1\nkind: Config\nmetadata: {name: a}\nspec: {path: a, data: b, strategy: mix}",
            "apiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: a}\nspec: {type: ETCD, action: pre-install, data: b}",
            "apiVersion: sealer.io/v1\nkind: Plugin\nmetadata: {name: a}\nspec: {type: SHELL, action: pre-install, data: b, timeout: 0}",
            "apiVersion: kubeadm.k8s.io/v1\nkind: InitConfiguration",
        ]
        let wholes = texts + others.map { file(document: $0) }
        let verdicts = try await verdicts(try texts.flatMap(documents) + others.flatMap(documents))
        #expect(verdicts.count == wholes.count)
        for (text, verdict) in zip(wholes, verdicts) {
            #expect(verdict.hasPrefix("wrong "), "\(text)")
            #expect(mistakes(text).contains { !$0.contains(" warning: ") }, "\(text)")
        }
    }
}
