//! The words around a payload's fields, in every language. Knows nothing of how they are laid out.

use kos_model::Locale;

/// Field, English, Russian; in the order in which a message lists them.
const LABELS: &[(&str, &str, &str)] = &[
    ("message", "Message", "Сообщение"),
    ("content", "Content", "Содержание"),
    ("title", "Title", "Название"),
    ("name", "Name", "Имя"),
    ("description", "Description", "Описание"),
    ("status", "Status", "Статус"),
    ("domain", "Domain", "Домен"),
    ("confidence_score", "Confidence", "Достоверность"),
    ("is_verified", "Verified", "Проверено"),
    ("priority", "Priority", "Приоритет"),
    ("assignee", "Assignee", "Исполнитель"),
    ("due_at", "Due", "Срок"),
    ("completed_at", "Completed", "Завершено"),
    ("result", "Result", "Результат"),
    ("expert", "Expert", "Эксперт"),
    ("role", "Role", "Роль"),
    ("domains", "Domains", "Домены"),
    ("half_life_days", "Half-life in days", "Период полураспада, дней"),
    ("query", "Question", "Вопрос"),
    ("response", "Answer", "Ответ"),
    ("feedback_score", "Feedback", "Оценка"),
    ("source", "From", "От"),
    ("kind", "Kind", "Вид"),
    ("target", "To", "К"),
    ("weight", "Weight", "Вес"),
    ("note", "Note", "Примечание"),
    ("reason", "Reason", "Причина"),
    ("error", "Error", "Ошибка"),
    ("source_ref", "Source", "Источник"),
    ("period", "Period", "Период"),
    ("url", "Link", "Ссылка"),
    ("webhook_type", "Webhook type", "Тип вебхука"),
    ("knowledge_id", "Knowledge ID", "ID знания"),
    ("task_id", "Task ID", "ID задачи"),
    ("expert_id", "Expert ID", "ID эксперта"),
    ("assignee_id", "Assignee ID", "ID исполнителя"),
    ("domain_id", "Domain ID", "ID домена"),
    ("moved_to", "Moved to ID", "Перенесено в ID"),
    ("interaction_id", "Interaction ID", "ID взаимодействия"),
    ("link_id", "Link ID", "ID связи"),
    ("source_id", "From ID", "ID источника"),
    ("target_id", "To ID", "ID цели"),
    ("webhook_id", "Webhook ID", "ID вебхука"),
    ("id", "ID", "ID"),
];

/// Where a field stands among the others; fields we do not know come last.
pub(crate) fn rank(key: &str) -> usize {
    LABELS.iter().position(|(known, _, _)| *known == key).unwrap_or(LABELS.len())
}

/// What a reader sees instead of the field's name.
pub(crate) fn label(key: &str, locale: Locale) -> String {
    match (LABELS.iter().find(|(known, _, _)| *known == key), locale) {
        (Some((_, _, russian)), Locale::Ru) => (*russian).to_owned(),
        (Some((_, english, _)), Locale::En) => (*english).to_owned(),
        (None, Locale::Ru | Locale::En) => key.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// A truth value in words.
pub(crate) const fn yes_no(yes: bool, locale: Locale) -> &'static str {
    match (locale, yes) {
        (Locale::Ru, true) => "да",
        (Locale::Ru, false) => "нет",
        (Locale::En, true) => "yes",
        (Locale::En, false) => "no",
    }
}

/// The text of a message whose payload has nothing to read.
pub(crate) const fn nothing_more(locale: Locale) -> &'static str {
    match locale {
        Locale::Ru => "Без подробностей.",
        Locale::En => "No further details.",
    }
}
