// Prints settings.tsv, which see: the settings that each version of Apache Kafka knows, asked of the
// ConfigDefs in its own jars. Run by a JDK of 11 or newer, once for each new minor version:
//     java harness/kafka/Settings.java ~/.cache/kbench/kafka/*/jars > harness/kafka/settings.tsv
// with one folder of jars a minor version, the oldest first.

import java.io.File;
import java.lang.reflect.*;
import java.net.*;
import java.util.*;
import java.util.regex.*;

public class Settings {
    // Where the ConfigDefs have been: class, then method or field.
    static final String[] BROKER = {
        "kafka.server.KafkaConfig$ kafka$server$KafkaConfig$$configDef", "kafka.server.KafkaConfig$ configDef"};
    static final String[] TOPIC = {
        "kafka.log.LogConfig$ kafka$log$LogConfig$$configDef", "kafka.log.LogConfig$ configDef",
        "kafka.log.LogConfig$ configDefCopy", "org.apache.kafka.storage.internals.log.LogConfig configDefCopy"};

    // By kind and name: what is known of it, from the version where that began to where it ended.
    record Known(String facts, int first, int last) {}
    static final TreeMap<String, List<Known>> known = new TreeMap<>();
    static final List<String> versions = new ArrayList<>();

    static Object definition(ClassLoader jars, String[] places) throws Exception {
        for (String place : places) {
            String[] parts = place.split(" ");
            try {
                Class<?> in = Class.forName(parts[0], true, jars);
                Object self = parts[0].endsWith("$") ? in.getField("MODULE$").get(null) : null;
                for (Method method : in.getDeclaredMethods()) {
                    if (method.getName().equals(parts[1]) && method.getParameterCount() == 0) {
                        method.setAccessible(true);
                        return method.invoke(self);
                    }
                }
                Field field = in.getDeclaredField(parts[1]);
                field.setAccessible(true);
                return field.get(self);
            } catch (ReflectiveOperationException | LinkageError elsewhere) { }
        }
        throw new Exception("no ConfigDef at " + String.join(", ", places));
    }

    static Object field(Object of, String name) throws Exception {
        return of.getClass().getField(name).get(of);
    }

    // What a validator allows: alternatives, each a word or a range, separated by |.
    static String allowed(Object validator) {
        if (validator == null) return "";
        String text = validator.toString();
        Matcher range = Pattern.compile("\\[([-0-9.]*?),?\\.\\.\\.,?([-0-9.]*)\\]( or (-1))?").matcher(text);
        if (range.matches()) {
            return (range.group(4) == null ? "" : range.group(4) + "|") + range.group(1) + ".." + range.group(2);
        }
        if (validator.getClass().getName().contains("VersionValidator")) return "version";
        if (text.equals("non-empty string")) return "nonempty";
        Matcher words = Pattern.compile("(\\(case insensitive\\) )?\\[([A-Za-z0-9_]+(, [A-Za-z0-9_]+)*)\\]").matcher(text);
        if (words.matches()) {
            return (words.group(1) == null ? "" : "~") + words.group(2).replace(", ", "|");
        }
        return "";
    }

    @SuppressWarnings("unchecked")
    static void take(String kind, Object definition, int version) throws Exception {
        Map<String, Object> keys = (Map<String, Object>) definition.getClass().getMethod("configKeys").invoke(definition);
        for (Map.Entry<String, Object> entry : keys.entrySet()) {
            Object key = entry.getValue();
            Object preset = field(key, "defaultValue");
            String written = preset instanceof Number || preset instanceof Boolean ? preset.toString() : "";
            String type = field(key, "type").toString().toLowerCase(Locale.ROOT);
            String facts = type + "\t" + allowed(field(key, "validator")) + "\t" + written;
            List<Known> spans = known.computeIfAbsent(kind + "\t" + entry.getKey(), k -> new ArrayList<>());
            Known last = spans.isEmpty() ? null : spans.get(spans.size() - 1);
            if (last != null && last.last() == version - 1 && last.facts().equals(facts)) {
                spans.set(spans.size() - 1, new Known(facts, last.first(), version));
            } else {
                spans.add(new Known(facts, version, version));
            }
        }
    }

    public static void main(String[] folders) throws Exception {
        for (String folder : folders) {
            List<URL> urls = new ArrayList<>();
            for (File jar : new File(folder).listFiles()) {
                urls.add(jar.toURI().toURL());
                Matcher name = Pattern.compile("kafka_2\\.\\d+-(\\d+\\.\\d+)\\..*\\.jar").matcher(jar.getName());
                if (name.matches()) versions.add(name.group(1));
            }
            ClassLoader jars = new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader());
            take("broker", definition(jars, BROKER), versions.size() - 1);
            take("topic", definition(jars, TOPIC), versions.size() - 1);
        }
        System.out.println("# Settings that Apache Kafka knows, by minor version:");
        System.out.println("# " + String.join(" ", versions));
        System.out.println("# Made by harness/kafka/Settings.java from the ConfigDefs in the jars of a release of each; not to");
        System.out.println("# be changed by hand. Columns: of a broker or a topic; name; first and last version that the line");
        System.out.println("# is true of; type; what is allowed (words or ranges, ~ whatever the case); default, where it is a");
        System.out.println("# number or true or false.");
        for (Map.Entry<String, List<Known>> entry : known.entrySet()) {
            for (Known span : entry.getValue()) {
                String of = versions.get(span.first()) + "-" + versions.get(span.last());
                System.out.println(entry.getKey() + "\t" + of + "\t" + span.facts());
            }
        }
    }
}
